import copy

import pytest

from django_director.exceptions import InvalidSettings
from django_director.masking import MASKED, MAX_DEPTH, mask


@pytest.mark.parametrize(
    "key", ["password", "DB_PASSWORD", "apiKey", "api_key", "Authorization", "access_token", "client-secret"]
)
def test_values_of_secret_keys_are_hidden(key):
    assert mask({key: "s3cret", "order": 7}) == {key: MASKED, "order": 7}


def test_secrets_are_found_at_any_depth_whatever_their_type():
    value = {"orders": [{"card": {"token": 42}}, ["a", {"secret": {"a": 1}}]], "token": None}
    assert mask(value) == {"orders": [{"card": {"token": MASKED}}, ["a", {"secret": MASKED}]], "token": None}


def test_the_input_stays_as_it_is():
    value = {"a": [{"password": "x"}]}
    before = copy.deepcopy(value)
    masked = mask(value)
    masked["a"].append(1)
    assert value == before


@pytest.mark.parametrize("value", [None, 1, "password", True, 1.5, [], {}])
def test_other_values_pass(value):
    assert mask(value) == value


def test_what_lies_too_deep_is_hidden_instead_of_exhausting_the_stack():
    deep: object = "s3cret"
    for _ in range(5000):
        deep = [deep]
    shown = mask(deep)
    for _ in range(MAX_DEPTH):
        (shown,) = shown
    assert shown == MASKED


def test_the_setting_decides(settings):
    settings.DIRECTOR = {"MASK": [r"^pin$", r"(?i)iban"]}
    assert mask({"pin": 1, "spin": 2, "IBAN": 3, "password": 4}) == {
        "pin": MASKED,
        "spin": 2,
        "IBAN": MASKED,
        "password": 4,
    }
    settings.DIRECTOR = {"MASK": None}
    assert mask({"password": 4}) == {"password": 4}


def test_a_wrong_setting_is_named(settings):
    settings.DIRECTOR = {"MASK": "("}
    with pytest.raises(InvalidSettings, match="MASK"):
        mask({"a": 1})


def test_write_only_properties_of_the_schema_are_hidden():
    schema = {
        "properties": {
            "card": {"$ref": "#/$defs/card"},
            "cards": {"items": {"$ref": "#/$defs/card"}},
            "pin": {"writeOnly": True},
            "either": {"anyOf": [{"type": "null"}, {"writeOnly": True}]},
        },
        "additionalProperties": {"properties": {"inner": {"writeOnly": True}}},
        "$defs": {"card": {"properties": {"number": {"writeOnly": True}, "name": {}}}},
    }
    value = {
        "card": {"number": 4111, "name": "Ann"},
        "cards": [{"number": 1}],
        "pin": 1,
        "either": 2,
        "other": {"inner": 3, "open": 4},
    }
    assert mask(value, schema) == {
        "card": {"number": MASKED, "name": "Ann"},
        "cards": [{"number": MASKED}],
        "pin": MASKED,
        "either": MASKED,
        "other": {"inner": MASKED, "open": 4},
    }


@pytest.mark.parametrize("schema", [True, False, {"$ref": "#"}, {"$ref": "#/nowhere/0"}, {"properties": 3}])
def test_any_schema_is_survived(schema):
    assert mask({"a": {"b": [1]}}, schema) == {"a": {"b": [1]}}
