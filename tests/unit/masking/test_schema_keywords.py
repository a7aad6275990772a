"""A secret below any keyword of any draft of JSON Schema is masked, and no error quotes it."""

from __future__ import annotations

import json
import time

import pytest
from jsonschema.validators import validator_for

from django_director.definitions import payloads
from django_director.masking.schemas import mask_schema
from django_director.masking.values import MASKED, hidden_in, mask
from tests.speed import allowed

SECRET = "KEYWSEC999"
DRAFTS = {
    "3": "http://json-schema.org/draft-03/schema#",
    "4": "http://json-schema.org/draft-04/schema#",
    "6": "http://json-schema.org/draft-06/schema#",
    "7": "http://json-schema.org/draft-07/schema#",
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}
# The secret is text. So it is refused as a number, and the error would quote it.
HIDES = {"writeOnly": True, "type": "integer"}
PASSWORD = {"format": "password", "type": "integer"}
INNER = {"properties": {"s": HIDES}}
KEY, ITEM, NESTED = {"s": SECRET, "open": 1}, [0, SECRET], [{}, {"s": SECRET}]
ALL = tuple(DRAFTS)
SINCE_4, SINCE_6, SINCE_7, SINCE_2019 = ALL[1:], ALL[2:], ALL[3:], ALL[4:]
UNTIL_7, UNTIL_2019 = ALL[:4], ALL[:5]

KEYWORDS = {
    # The drafts that have a keyword, a schema with a secret below it, and a payload with the secret there.
    "properties": (ALL, {"properties": {"s": HIDES}}, KEY),
    "properties password": (ALL, {"properties": {"s": PASSWORD}}, KEY),
    "patternProperties": (ALL, {"patternProperties": {"^s": HIDES}}, KEY),
    "additionalProperties": (ALL, {"properties": {"open": {}}, "additionalProperties": HIDES}, KEY),
    "unevaluatedProperties": (SINCE_2019, {"properties": {"open": {}}, "unevaluatedProperties": HIDES}, KEY),
    "unevaluatedProperties undecided": (
        SINCE_2019,
        {"anyOf": [{"properties": {"s": {"type": "null"}}}, {}], "unevaluatedProperties": HIDES},
        {"s": SECRET},
    ),
    "propertyNames": (SINCE_6, {"propertyNames": {"writeOnly": True, "maxLength": 3}}, {SECRET: 1}),
    "propertyNames further": (
        SINCE_6,
        {"properties": {"a": {"propertyNames": {"writeOnly": True}, "additionalProperties": {"type": "null"}}}},
        {"a": {SECRET: 1}},
    ),
    "dependencies": (UNTIL_2019, {"dependencies": {"open": INNER}}, KEY),
    "dependentSchemas": (SINCE_2019, {"dependentSchemas": {"open": INNER}}, KEY),
    "items": (ALL, {"items": HIDES}, ITEM),
    "items as a list": (UNTIL_2019, {"items": [{}, HIDES]}, ITEM),
    "items beside prefixItems": (UNTIL_2019, {"items": HIDES, "prefixItems": [{}, {}, {}]}, ITEM),
    "prefixItems": (("2020-12",), {"prefixItems": [{}, HIDES]}, ITEM),
    "items after prefixItems": (("2020-12",), {"prefixItems": [{}], "items": HIDES}, ITEM),
    "additionalItems": (UNTIL_2019, {"items": [{}], "additionalItems": HIDES}, ITEM),
    "unevaluatedItems": (SINCE_2019, {"unevaluatedItems": HIDES}, ITEM),
    "unevaluatedItems after items": (("2019-09",), {"items": [{}], "unevaluatedItems": HIDES}, ITEM),
    "unevaluatedItems after prefixItems": (("2020-12",), {"prefixItems": [{}], "unevaluatedItems": HIDES}, ITEM),
    "contains": (SINCE_6, {"contains": HIDES, "items": {"type": "integer"}}, ITEM),
    "contains nested": (SINCE_6, {"contains": INNER, "maxItems": 1}, NESTED),
    "allOf": (SINCE_4, {"allOf": [{}, INNER]}, KEY),
    "anyOf": (SINCE_4, {"anyOf": [{"required": ["x"]}, INNER]}, KEY),
    "oneOf": (SINCE_4, {"oneOf": [INNER, {"required": ["x"]}]}, KEY),
    "not": (SINCE_4, {"not": {"properties": {"s": {"writeOnly": True}}}}, KEY),
    "if": (SINCE_7, {"if": {"properties": {"s": {"writeOnly": True}}}, "then": {"required": ["x"]}}, KEY),
    "then": (SINCE_7, {"if": {}, "then": INNER}, KEY),
    "else": (SINCE_7, {"if": {"required": ["x"]}, "else": INNER}, KEY),
    "extends": (("3",), {"extends": INNER}, KEY),
    "extends several": (("3",), {"extends": [{}, INNER]}, KEY),
    "extends beside $ref": (
        ("3",),
        {"extends": {}, "properties": {"s": {"$ref": "#/definitions/a"}}, "definitions": {"a": HIDES}},
        KEY,
    ),
    "disallow": (("3",), {"disallow": ["null", {"properties": {"s": {"writeOnly": True}}}]}, KEY),
    "type": (("3",), {"type": ["null", INNER]}, KEY),
    "contentSchema": (
        SINCE_2019,
        {"properties": {"t": {"type": "integer", "contentMediaType": "application/json", "contentSchema": INNER}}},
        {"t": json.dumps({"s": SECRET})},
    ),
    "contentSchema reference": (
        SINCE_2019,
        {
            "properties": {"t": {"type": "null", "contentSchema": {"items": {"$ref": "#/$defs/a"}}}},
            "$defs": {"a": HIDES},
        },
        {"t": json.dumps([SECRET])},
    ),
    "$ref": (ALL, {"properties": {"s": {"$ref": "#/definitions/a"}}, "definitions": {"a": HIDES}}, KEY),
    "$ref to itself": (ALL, {"properties": {"s": HIDES, "in": {"$ref": "#"}}}, {"in": {"in": KEY}}),
    "$ref to $defs": (SINCE_2019, {"properties": {"s": {"$ref": "#/$defs/a"}}, "$defs": {"a": HIDES}}, KEY),
    "$ref into a list": (SINCE_4, {"properties": {"s": {"$ref": "#/allOf/0"}}, "allOf": [HIDES]}, KEY),
    "$ref into another key": (ALL, {"properties": {"s": {"$ref": "#/x/a%25b"}}, "x": {"a%b": HIDES}}, KEY),
    "$ref to a $ref": (
        ALL,
        {
            "properties": {"s": {"$ref": "#/definitions/b"}},
            "definitions": {"a": HIDES, "b": {"$ref": "#/definitions/a"}},
        },
        KEY,
    ),
    "id as an anchor": (
        ("4",),
        {"properties": {"s": {"$ref": "#sec"}}, "definitions": {"a": {"id": "#sec", **HIDES}}},
        KEY,
    ),
    "$id as an anchor": (
        ("6", "7"),
        {"properties": {"s": {"$ref": "#sec"}}, "definitions": {"a": {"$id": "#sec", **HIDES}}},
        KEY,
    ),
    "$anchor": (
        SINCE_2019,
        {"properties": {"s": {"$ref": "#sec"}}, "$defs": {"A": {"$anchor": "sec", **HIDES}}},
        KEY,
    ),
    "id": (
        ("3", "4"),
        {"id": "http://x/a", "properties": {"s": {"$ref": "b"}}, "definitions": {"a": {"id": "b", **HIDES}}},
        KEY,
    ),
    "$id": (
        SINCE_6,
        {"$id": "http://x/a", "properties": {"s": {"$ref": "b"}}, "definitions": {"a": {"$id": "b", **HIDES}}},
        KEY,
    ),
    "$ref below an $id": (
        SINCE_6,
        {
            "$id": "http://x/a",
            "properties": {
                "in": {
                    "$id": "b",
                    "definitions": {"c": HIDES},
                    "properties": {"s": {"$ref": "#/definitions/c"}},
                }
            },
            "definitions": {"c": {}},
        },
        {"in": KEY},
    ),
    "$id and $anchor": (
        SINCE_2019,
        {
            "$id": "http://x/a",
            "properties": {"s": {"$ref": "b#sec"}},
            "$defs": {"b": {"$id": "b", "$defs": {"c": {"$anchor": "sec", **HIDES}}}, "c": {"$anchor": "sec"}},
        },
        KEY,
    ),
    "$dynamicRef": (
        ("2020-12",),
        {"properties": {"s": {"$dynamicRef": "#sec"}}, "$defs": {"A": {"$dynamicAnchor": "sec", **HIDES}}},
        KEY,
    ),
    "$dynamicRef to the outermost": (
        ("2020-12",),
        {
            "$id": "http://x/a",
            "$ref": "tree",
            "$defs": {
                "secret": {"$dynamicAnchor": "node", **HIDES},
                "tree": {
                    "$id": "tree",
                    "properties": {"s": {"$dynamicRef": "#node"}},
                    "$defs": {"open": {"$dynamicAnchor": "node"}},
                },
            },
        },
        KEY,
    ),
    "$recursiveRef": (
        ("2019-09",),
        {"properties": {"s": HIDES, "in": {"$recursiveRef": "#"}}},
        {"in": {"in": KEY}},
    ),
    "$recursiveRef to the outermost": (
        ("2019-09",),
        {
            "$id": "http://x/a",
            "$recursiveAnchor": True,
            "$ref": "tree",
            "properties": {"s": HIDES},
            "$defs": {
                "tree": {"$id": "tree", "$recursiveAnchor": True, "properties": {"in": {"$recursiveRef": "#"}}}
            },
        },
        {"in": KEY},
    ),
}
CASES = [
    pytest.param({"$schema": DRAFTS[draft], **schema}, payload, id=f"{keyword} of {draft}")
    for keyword, (drafts, schema, payload) in KEYWORDS.items()
    for draft in drafts
]
PLAIN = {
    *("const", "dependentRequired", "divisibleBy", "enum", "exclusiveMaximum", "exclusiveMinimum", "format"),
    *("maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength"),
    *("minProperties", "minimum", "multipleOf", "pattern", "required"),
    *("type", "uniqueItems"),
}
"""Keywords without a schema below them; `type` has one in draft 3 only."""


@pytest.mark.parametrize(("schema", "payload"), CASES)
def test_a_secret_is_masked_and_known(schema, payload):
    assert SECRET not in json.dumps(mask(payload, schema))
    assert SECRET in json.dumps(hidden_in(payload, schema))


@pytest.mark.parametrize(("schema", "payload"), CASES)
def test_no_error_quotes_a_secret(schema, payload):
    assert not payloads.problems_of(schema)
    for error in payloads.errors_of(schema, payload):
        assert SECRET not in error.message + error.path + error.plain + error.plain_path


@pytest.mark.parametrize(("schema", "payload"), CASES)
def test_a_schema_does_not_give_a_secret_away(schema, payload):
    assert SECRET not in json.dumps(mask_schema({**schema, "default": payload, "examples": [payload]}))


@pytest.mark.parametrize("draft", DRAFTS)
def test_each_keyword_of_a_draft_is_in_the_table_or_has_no_schema_below(draft):
    checker = validator_for({"$schema": DRAFTS[draft]})
    known = {keyword.split()[0] for keyword, (drafts, *_) in KEYWORDS.items() if draft in drafts}
    assert set(checker.VALIDATORS) - known <= PLAIN


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        ({"properties": {"a": {}}, "unevaluatedProperties": HIDES}, {"a": "open"}),
        ({"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": HIDES}, {"a": "open"}),
        (
            {"$ref": "#/$defs/b", "$defs": {"b": {"properties": {"a": {}}}}, "unevaluatedProperties": HIDES},
            {"a": 1},
        ),
        ({"patternProperties": {"^a": {}}, "unevaluatedProperties": HIDES}, {"a": "open"}),
        ({"additionalProperties": {}, "unevaluatedProperties": HIDES}, {"a": "open"}),
        ({"prefixItems": [{}], "items": HIDES}, ["open"]),
        ({"prefixItems": [{}], "unevaluatedItems": HIDES}, ["open"]),
        ({"items": {}, "unevaluatedItems": HIDES}, ["open", "open"]),
        ({"allOf": [{"prefixItems": [{}, {}]}], "unevaluatedItems": HIDES}, ["open", "open"]),
        ({"contains": {"type": "string"}}, ["open"]),
        ({"propertyNames": {"maxLength": 3}, "contentSchema": {"type": "object"}}, {"a": "open"}),
        (
            {"$defs": {"a": {"$anchor": "sec", "writeOnly": True}}, "properties": {"a": {"$ref": "#other"}}},
            {"a": 1},
        ),
    ],
)
def test_what_a_schema_does_not_call_secret_is_shown(schema, payload):
    assert mask(payload, schema) == payload


def test_a_payload_that_is_secret_as_a_whole_is_hidden():
    assert mask({"a": SECRET}, {"writeOnly": True}) == MASKED
    assert mask(None, {"writeOnly": True}) is None


def test_a_pattern_that_is_too_slow_to_decide_hides(monkeypatch):
    monkeypatch.setattr("django_director.masking.secret_places.MOST_SECONDS", 0)
    schema = {"patternProperties": {"^x": {}}, "additionalProperties": HIDES}
    assert mask({"s": SECRET}, schema) == {"s": MASKED}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": 3, "$id": 4, "$anchor": [], "$dynamicRef": "#a", "$schema": "urn:unknown"},
        {"$ref": "http://[", "items": [3], "dependencies": 4, "dependentSchemas": [1], "allOf": 3},
        {"$id": "http://[", "$ref": "#/a", "propertyNames": 3, "contentSchema": [], "extends": 1},
        {"$schema": 3, "$ref": "#a", "properties": [], "$defs": 3, "$recursiveRef": "#"},
        {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        {"contentSchema": {"$ref": "#"}, "propertyNames": {"$ref": "#"}, "not": {"$ref": "#"}},
    ],
)
def test_any_schema_is_survived(schema):
    assert mask({"a": {"b": [1]}}, schema) == {"a": {"b": [1]}}


def test_anchors_in_a_large_schema_take_no_seconds():
    defs = {f"d{n}": {"$anchor": f"a{n}", "properties": {"s": {"writeOnly": True}}} for n in range(500)}
    schema = {"properties": {f"p{n}": {"$ref": f"#a{n}"} for n in range(500)}, "$defs": defs}
    began = time.process_time()
    masked = mask({f"p{n}": {"s": SECRET} for n in range(500)}, schema)
    assert time.process_time() - began < allowed(2)
    assert SECRET not in json.dumps(masked)


def test_many_keys_that_nothing_has_judged_take_no_seconds():
    parts = [{"properties": {f"p{n}": {}}} for n in range(100)]
    schema = {"allOf": parts, "patternProperties": {"^x": {}}, "unevaluatedProperties": {"writeOnly": True}}
    began = time.process_time()
    masked = mask({f"k{n}": SECRET for n in range(10_000)}, schema)
    assert time.process_time() - began < allowed(4)
    assert SECRET not in json.dumps(masked)
