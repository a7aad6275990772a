"""Payloads against their schema."""

from __future__ import annotations

import warnings

import pytest

from django_director.definitions.payloads import problems_of, validate
from django_director.exceptions import InvalidPayload


def test_defaults_at_every_level_and_the_argument_is_left_alone():
    schema = {
        "type": "object",
        "required": ["mode"],
        "properties": {
            "mode": {"default": "fast"},
            "options": {"default": {}, "properties": {"tries": {"type": "integer", "default": 3}}},
            "missing": {"properties": {"never": {"default": 1}}},
            "rows": {"items": {"$ref": "#/$defs/row"}},
        },
        "allOf": [{"properties": {"also": {"default": None}}}],
        "additionalProperties": {"properties": {"extra": {"default": 0}}},
        "$defs": {"row": {"properties": {"n": {"default": [1]}}}},
    }
    payload = {"rows": [{}, {"n": 5}], "other": {}}
    assert validate(schema, payload) == {
        "mode": "fast",
        "options": {"tries": 3},
        "rows": [{"n": [1]}, {"n": 5}],
        "also": None,
        "other": {"extra": 0},
    }
    assert payload == {"rows": [{}, {"n": 5}], "other": {}}
    validate(schema, payload)["rows"][0]["n"].append(2)
    assert validate(schema, payload)["rows"][0]["n"] == [1]


def test_every_error_with_its_path():
    schema = {
        "required": ["user"],
        "properties": {"a": {"properties": {"b": {"type": "integer"}}}, "list": {"items": {"maximum": 3}}},
    }
    with pytest.raises(InvalidPayload) as caught:
        validate(schema, {"a": {"b": "x"}, "list": [1, 9]})
    assert caught.value.errors == [
        {"path": "$", "message": '"user" is a required property'},
        {"path": "$.a.b", "message": '"x" is not an integer'},
        {"path": "$.list[1]", "message": "9 is greater than the maximum of 3"},
    ]


def test_messages_stay_short():
    with pytest.raises(InvalidPayload) as caught:
        validate({"type": "object"}, "x" * 100_000)
    assert len(caught.value.errors[0]["message"]) < 400


def test_draft_7_and_boolean_schemas():
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}
    with pytest.raises(InvalidPayload):
        validate(schema, [1])
    assert validate(True, 5) == 5
    with pytest.raises(InvalidPayload):
        validate(False, 5)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "intger"}, "intger"),
        ({"properties": {"a": {"pattern": "["}}}, "regex"),
        ({"$ref": "https://example.com/a.json"}, "nothing is fetched"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "#/$defs/b"),
        ({"$ref": "#"}, "too deeply"),
        ({"properties": {"a": {"$ref": "#", "default": {}}}}, "too deeply"),
        ({"properties": {"a": {"type": "string", "default": None}}}, "default of “a”, null"),
        ({"$schema": 5}, "$schema"),
    ],
)
def test_schemas_that_are_refused(schema, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert words in problems_of(schema)[0].message


def test_recursive_schemas_work_and_endless_payloads_are_errors():
    schema = {"properties": {"next": {"$ref": "#"}, "n": {"type": "integer", "default": 0}}}
    assert problems_of(schema) == []
    assert validate(schema, {"next": {}}) == {"next": {"n": 0}, "n": 0}
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"next": deep}
    with pytest.raises(InvalidPayload, match="too deeply"):
        validate(schema, deep)
