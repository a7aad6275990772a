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


FITTING = {
    "date": ("2026-01-31", "2024-02-29"),
    "date-time": ("2026-01-31T14:30:00Z", "2026-01-31t14:30:00.123+01:00", "2026-01-31 14:30:00-11:30"),
    "time": ("14:30", "14:30:59", "14:30:00.5Z", "23:59:59+02:00"),
    "email": ("ann@example.com", "ann+x@mail.example.com"),
    "uri": ("https://example.com/a?b=c#d", "urn:isbn:0451450523", "mailto:ann@example.com", "https://münchen.de/"),
    "url": ("https://example.com", "ftp://ann:word@example.com:21/a"),
    "password": ("anything",),
    "colour": ("a format of the project's own",),
}
UNFIT = {
    "date": (
        "",
        "31.1.2026",
        "2026-02-30",
        "2026-1-31",
        "20260131",
        "2026-01-31T00:00:00Z",
        "\uff12\uff10\uff12\uff16-01-31",
    ),
    "date-time": ("2026-01-31", "2026-01-31T14:30:00", "2026-01-31T25:00:00Z", "2026-01-31T14:30:00+25:00", "now"),
    "time": ("25:00", "14", "2 pm", "14:30:00+25:00"),
    "email": ("ann", "ann@", "@example.com", "a b@example.com", "ann@example.com\nbcc: eve@example.com"),
    "uri": (
        "example.com",
        "https://",
        "https://a b",
        "http://[",
        "//example.com",
        "https://example.com:99999999/",
    ),
    "url": ("urn:isbn:0451450523", "example.com"),
}


def test_formats_are_checked_and_messages_say_how_a_value_is_written():
    for name, texts in FITTING.items():
        for text in texts:
            assert validate({"format": name}, text) == text
    for name, texts in UNFIT.items():
        for text in texts:
            with pytest.raises(InvalidPayload) as caught:
                validate({"properties": {"a": {"format": name}}}, {"a": text})
            (error,) = caught.value.errors
            assert error["path"] == "$.a"
            assert f"is not a usable {name}: write " in error["message"], (name, text)
    assert validate({"format": "date"}, 7) == 7


def test_a_default_must_have_its_format_and_a_secret_is_not_quoted():
    schema = {"properties": {"day": {"type": "string", "format": "date", "default": "soon"}}}
    assert "does not fit its own schema" in problems_of(schema)[0].message
    with pytest.raises(InvalidPayload) as caught:
        validate({"properties": {"token": {"format": "email"}}}, {"token": "s3cret"})
    assert "s3cret" not in str(caught.value.errors)
