"""Payloads and schemas that mean harm: each check ends within about a second, with a reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from django_director.common import patterns
from django_director.definitions.json_schema import work
from django_director.definitions.payloads import errors_of, problems_of
from django_director.masking.values import mask
from tests.speed import allowed

DRAFTS = [f"http://json-schema.org/draft-0{number}/schema#" for number in (3, 4, 6, 7)]
DRAFTS += [f"https://json-schema.org/draft/{year}/schema" for year in ("2019-09", "2020-12")]
LONGEST = 2.5
"""Seconds of processor time."""
TOO_LONG = "more than a second"


@pytest.fixture
def bounded() -> Iterator[None]:
    begun = time.thread_time()
    yield
    assert time.thread_time() - begun < allowed(LONGEST)


def messages(schema: Any, payload: Any) -> list[str]:
    return [error.message for error in errors_of(schema, payload)]


def many(count: int) -> list[dict[str, Any]]:
    return [{"n": index, "s": str(index)} for index in range(count)]


UNIQUE = {"uniqueItems": True}
NESTED = {
    "plain": UNIQUE,
    "by $ref": {"$ref": "#/$defs/u", "$defs": {"u": UNIQUE}},
    "by $ref of the whole": {"properties": {"a": {"$ref": "#"}}, "uniqueItems": True},
    "by $dynamicRef": {"$dynamicRef": "#u", "$defs": {"u": {"$dynamicAnchor": "u", **UNIQUE}}},
    "by $recursiveRef": {"$schema": DRAFTS[4], "properties": {"a": {"$recursiveRef": "#"}}, **UNIQUE},
    "in oneOf": {"oneOf": [UNIQUE, False]},
    "in not": {"not": {"not": UNIQUE}},
    "in if": {"if": UNIQUE, "else": False},
    "in a branch": {"anyOf": [{"allOf": [UNIQUE]}]},
    "with a $schema of its own": {"allOf": [{"$schema": DRAFTS[3], "$id": "x:y", **UNIQUE}]},
}


@pytest.mark.parametrize("place", NESTED)
def test_unique_items_are_quick_everywhere_in_a_schema(place, bounded):
    schema = NESTED[place]
    assert problems_of(schema) == []
    rows = many(6_000)
    value = {"a": rows} if "properties" in schema else rows
    assert messages(schema, value) == []
    rows.append({"s": "17", "n": 17.0})
    assert len(messages(schema, value)) == 1


@pytest.mark.parametrize("draft", DRAFTS)
def test_unique_items_of_every_draft(draft, bounded):
    assert messages({"$schema": draft, **UNIQUE}, many(6_000)) == []
    assert messages({"$schema": draft, **UNIQUE}, [*many(3), *many(1)]) == ["items 0 and 3 are equal"]


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        (1, 1.0, True),
        (0, -0.0, True),
        (1, True, False),
        (0, False, False),
        ([1], [True], False),
        ([1, {"a": 2.0}], [1.0, {"a": 2}], True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ("1", 1, False),
        ("1.0", "1", False),
        ("1.0", 1.0, False),
        (None, False, False),
        (2**53, float(2**53), True),
        (2**53 + 1, float(2**53), False),
        (1e300, 10**300, False),
        ([], {}, False),
        ("é", "e\N{COMBINING ACUTE ACCENT}", False),
    ],
)
def test_equality_is_that_of_json_schema(one, two, equal):
    assert bool(messages(UNIQUE, [one, two])) == equal
    assert bool(messages({"const": one}, two)) == (not equal)
    assert bool(messages({"enum": [0.5, one]}, two)) == (not equal)


SLOW = "^(a|aa)+$"
TEXT = "a" * 2_000 + "!"
SEARCHES: dict[str, tuple[Any, Any]] = {
    "pattern": ({"pattern": SLOW}, TEXT),
    "the pattern of the issue": ({"pattern": "^(a+)+$"}, "a" * 1_000_000 + "!"),
    "many spaces": ({"pattern": r"\s+$"}, " " * 1_000_000 + "x"),
    "patternProperties": ({"patternProperties": {SLOW: False}}, {TEXT: 1}),
    "additionalProperties": ({"patternProperties": {SLOW: True}, "additionalProperties": False}, {TEXT: 1}),
    "unevaluatedProperties": (
        {"allOf": [{"patternProperties": {SLOW: True}}], "unevaluatedProperties": False},
        {TEXT: 1},
    ),
    "propertyNames": ({"propertyNames": {"pattern": SLOW}}, {TEXT: 1}),
    "not": ({"not": {"pattern": SLOW}}, TEXT),
    "anyOf": ({"anyOf": [{"pattern": SLOW}, True]}, TEXT),
    "contains": ({"contains": {"pattern": SLOW}}, [TEXT] * 100),
    "many short texts": ({"items": {"pattern": SLOW}}, ["a" * 60 + "!"] * 1_000),
}


@pytest.mark.parametrize("where", SEARCHES)
def test_a_search_is_given_up_and_is_no_answer(where, bounded, monkeypatch):
    # One of them has the time that it has in production.
    if where != "the pattern of the issue":
        monkeypatch.setattr(patterns, "SECONDS", 0.05)
    schema, payload = SEARCHES[where]
    assert problems_of(schema) == []
    (message,) = messages(schema, payload)
    assert "takes too long" in message or TOO_LONG in message
    assert "aaa" not in message


WORK: dict[str, tuple[Any, Any]] = {
    "many unevaluated items": ({"contains": {"type": "integer"}, "unevaluatedItems": False}, [1] * 50_000),
    "a large enum": ({"items": {"enum": [{"n": n} for n in range(10_000)]}}, [{"n": 9_999}] * 3_000),
    "many branches": (
        {"items": {"oneOf": [{"properties": {"n": {"const": n}}, "required": ["s"]} for n in range(200)]}},
        many(10_000),
    ),
    "many errors inside of a branch": ({"anyOf": [{"items": {"type": "null"}}] * 50}, many(10_000)),
    "references that double": (
        {
            "$ref": "#/$defs/0",
            "$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(40)} | {"40": {}},
        },
        {},
    ),
    "defaults that double": (
        {
            "properties": {"a": {"default": 1}},
            "$ref": "#/$defs/0",
            "$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(40)} | {"40": {}},
        },
        {},
    ),
    "many items, each as long as all": ({"items": {"allOf": [{"type": "string"}] * 300}}, [[1] * 100] * 1_000),
}


ENDLESS = {"many branches", "many errors inside of a branch", "defaults that double"}
"""What takes the time that it is given, however long; “references that double” has the time of production."""
ANSWERED = {"many unevaluated items", "a large enum"}
"""What is checked to its end in the time of production."""


@pytest.mark.parametrize("kind", WORK)
def test_other_work_is_bounded_too(kind, bounded, monkeypatch):
    if kind in ENDLESS:
        monkeypatch.setattr(work, "SECONDS", 0.1)
    if kind in ANSWERED:
        monkeypatch.setattr(work, "SECONDS", allowed(work.SECONDS))
    found = messages(*WORK[kind])
    if kind in ANSWERED:
        assert found == []
    assert all(len(message) < 700 for message in found)


def test_a_schema_that_doubles_is_refused_when_it_is_read(bounded):
    (problem,) = problems_of(WORK["references that double"][0])
    assert TOO_LONG in problem.message


@pytest.mark.parametrize(
    ("schema", "payload", "fits"),
    [
        ({"multipleOf": 0.01}, 19.99, True),
        ({"multipleOf": 0.01}, 19.995, False),
        ({"multipleOf": 0.1}, 2**63 - 1, True),
        ({"multipleOf": 1e-300}, 1e300, True),
        ({"multipleOf": 3}, 1e300, False),
        ({"multipleOf": 1e300}, 5e-324, False),
        ({"multipleOf": 2.5}, 10, True),
        ({"$schema": DRAFTS[0], "divisibleBy": 0.01}, 19.99, True),
        ({"minimum": 1e308}, -(2**63), False),
        ({"type": "integer"}, 1e300, True),
    ],
)
def test_numbers_are_exact_and_none_is_too_large(schema, payload, fits):
    assert problems_of(schema) == []
    assert (messages(schema, payload) == []) == fits


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize(
    "pattern", ["[", "a{99999999999}", "(?:a{1000}){1000}", "(" * 5_000 + ")" * 5_000, r"\p{L}"]
)
def test_a_pattern_that_can_not_be_used_is_refused_when_it_is_read(draft, pattern):
    for schema in ({"pattern": pattern}, {"patternProperties": {pattern: {}}}):
        (problem, *_) = problems_of({"$schema": draft, "properties": {"a": schema}})
        assert "regex" in problem.message
        assert len(problem.message) < 700


def test_a_stored_schema_that_can_not_be_used_is_an_error_and_no_crash():
    assert "can't be used" in messages({"pattern": "["}, "x")[0]
    assert "can't be used" in messages({"$ref": "#/nowhere"}, "x")[0]


def test_each_pattern_has_flags_of_its_own():
    schema = {"patternProperties": {"(?i)^a": {}, "(?i)^b": {}}, "additionalProperties": False}
    assert messages(schema, {"Ax": 1, "Bx": 1}) == []
    assert messages(schema, {"Cx": 1}) == ['"Cx" is no known property']


def test_a_mask_is_quick_where_branches_repeat_each_other_and_hides_what_it_can_not_decide(bounded):
    same = {"properties": {"a": {"$ref": "#"}}}
    value: Any = {"a": 1}
    for _ in range(29):
        value = {"a": value}
    assert mask(value, {"allOf": [same, dict(same)]}) == value
    schema = {"patternProperties": {SLOW: {"writeOnly": True}}}
    assert mask({"b": 2, TEXT: 1}, schema) == {"b": 2, TEXT: "********"}


@pytest.mark.parametrize(
    ("pattern", "slow"),
    [
        (SLOW, "(a|aa)+"),
        ("^x-(a|b|ab)*c$", "(a|b|ab)*"),
        (r"^[A-Z]{2}\d{4}$", ""),
        ("^([a-z]+-)*[a-z]+$", ""),
        (r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$", ""),
        (r"^[^@\s]+@([a-z0-9-]+\.)+[a-z]{2,}$", ""),
        ("[(]+)", ""),
        ("(", ""),
    ],
)
def test_slow_parts_of_patterns_are_found(pattern, slow):
    assert patterns.slow_part(pattern) == slow
