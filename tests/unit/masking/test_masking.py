import copy
import json
import time
from urllib.parse import quote, quote_plus

import pytest
import yaml

from django_director.exceptions import InvalidSettings
from django_director.masking.redaction import Redactor
from django_director.masking.schemas import mask_schema
from django_director.masking.source import mask_source
from django_director.masking.values import MASKED, MAX_DEPTH, hidden_in, holds_mask, mask, restore
from tests.speed import allowed


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


SECRET = (
    *("api-key", "x-api-key", "X-API-Key", "pwd", "db_pwd", "dbPwd", "pass", "DB_PASS", "smtpPass", "passphrase"),
    *("access_key", "accessKeyId", "AWS_ACCESS_KEY_ID", "private-key", "ssh_key", "sshKey", "dsn", "SENTRY_DSN"),
    *(
        "database_url",
        "DATABASE_URL",
        "connection_string",
        "connectionString",
        "jwt",
        "otp",
        "cookie",
        "Set-Cookie",
    ),
    *("auth", "basic_auth", "bearer", "signature", "x-hub-signature-256", "pin", "PIN", "card_pin", "cvv", "cvc"),
    *("card_number", "cardNumber", "iban", "IBAN", "token", "tokens", "access_tokens", "TOKEN", "tokenValue"),
    *("userpassword", "passwordHash", "clientSecret", "secrets", "authorization", "credentials", "passwd"),
)
OPEN = (
    *("total_tokens", "max_tokens", "totalTokens", "secretary", "tokenize", "tokenizer", "TOKENIZER", "passenger"),
    *("compass", "pass_count", "passed", "author", "authors", "auth_method", "authored", "pinned", "pint", "spin"),
    *(
        "shipping",
        "signature_date",
        "monkey",
        "key",
        "keys",
        "keyboard",
        "cookiecutter",
        "urban",
        "card",
        "otpion",
    ),
    *("name", "value", "order", "bearing", "design", "database", "url", "connection", "assignature_x"),
)


@pytest.mark.parametrize("key", SECRET)
def test_keys_that_are_secret(key):
    assert mask({key: "x"}) == {key: MASKED}


@pytest.mark.parametrize("key", OPEN)
def test_keys_that_are_not(key):
    assert mask({key: "x"}) == {key: "x"}


def test_passwords_in_addresses_are_hidden_and_nothing_else_of_them():
    value = {"db": "postgres://shop:s3cr/et@db:5432/shop?x=1", "ok": "postgres://shop:s3cret@db:5432/shop?x=1"}
    assert mask(value)["ok"] == "postgres://shop:********@db:5432/shop?x=1"
    assert mask(["see redis://:s3cret@h/0 and http://u:p@q@h"]) == [
        "see redis://:********@h/0 and http://u:********@h"
    ]
    for text in ("http://host:8080/a@b", "https://ann@host/", "a:b@c", "http://host:8080/", "mailto:ann@host"):
        assert mask(text) == text


@pytest.mark.parametrize(
    ("name", "value"), [("name", "value"), ("key", "value"), ("Name", "Value"), ("Key", "Value")]
)
def test_a_value_beside_the_name_of_a_secret_is_hidden(name, value):
    pairs = [{name: "DB_PASSWORD", value: "s3cret"}, {name: "COLOUR", value: "red"}]
    assert mask(pairs) == [{name: "DB_PASSWORD", value: MASKED}, {name: "COLOUR", value: "red"}]


def test_what_is_hidden_is_known():
    value = {"password": "a", "db": "x://u:b@h", "env": [{"name": "TOKEN", "value": "c"}], "open": "d", "pin": 4}
    assert hidden_in(value, {"properties": {"open": {"writeOnly": True}}}) == ["a", "b", "c", "d", 4]


def test_defaults_of_what_is_secret_are_hidden_in_a_schema():
    schema = {
        "properties": {
            "password": {"type": "string", "default": "s3cret", "minLength": 3},
            "ssn": {"writeOnly": True, "default": "123", "examples": ["456"]},
            "login": {"default": {"user": "ann", "token": "t"}},
            "size": {"default": 7, "enum": [7, 8]},
        },
        "$defs": {"token": {"default": 5}},
    }
    masked = mask_schema(schema)
    assert masked["properties"] == {
        "password": {"type": "string", "default": MASKED, "minLength": 3},
        "ssn": {"writeOnly": True, "default": MASKED, "examples": MASKED},
        "login": {"default": {"user": "ann", "token": MASKED}},
        "size": {"default": 7, "enum": [7, 8]},
    }
    assert masked["$defs"] == schema["$defs"]


def test_a_masked_address_comes_back_when_it_was_left_alone():
    original = {"db": "x://u:b@h", "n": 1}
    shown = mask(original)
    assert restore({"db": shown["db"], "n": 2}, original, shown) == {"db": "x://u:b@h", "n": 2}
    assert holds_mask({"db": "x://u:********@other"})
    assert not holds_mask({"db": "x://u:b@h"})


def test_spellings_of_a_secret_in_texts():
    secret = 'a"b\\c d/é\nsecond line'
    texts = Redactor(
        lambda: {"password": secret, "pin": "1234", "cvv": "77", "token": 987654321, "otp": True}, None, object()
    )
    for text in (
        secret,
        repr(secret),
        json.dumps(secret),
        quote(secret),
        f"x={quote_plus(secret)}",
        "second line",
    ):
        assert "second" not in texts.text(text)
    assert texts.text("pin 1234, card 12345, 77 True") == f"pin {MASKED}, card 12345, 77 True"
    assert texts.text("n=987654321;") == f"n={MASKED};"
    assert texts.text("at http://u:p@h") == "at http://u:********@h"


@pytest.mark.parametrize(
    "secret", ["zebra<&\"'\xfc pass\nwords;\x85 中 😀", "it's Pa55word", 'a"b zebra', "中中中中"]
)
@pytest.mark.parametrize(
    "spell",
    [
        ascii,
        repr,
        lambda secret: repr(f"""'{secret}" """),
        lambda secret: ascii(f"""'{secret}" """),
        lambda secret: str(secret.encode()),
        lambda secret: yaml.safe_dump([secret], default_style='"', width=1000),
        lambda secret: yaml.safe_dump([secret], default_style='"', width=1000, allow_unicode=True),
        lambda secret: yaml.safe_dump([secret.replace("\n", " ")], default_style="'", width=1000),
    ],
)
def test_a_secret_is_found_as_python_and_yaml_spell_it(secret, spell):
    text = spell(secret)
    shown = Redactor(lambda: {"password": secret, "token": secret.replace("\n", " ")}, None, None).text(text)
    assert shown in {text.replace(inner, MASKED) for inner in _inner(text)}


def _inner(text):
    """What stands between the first and the last quotes, however many there are."""
    return {text[begin:end] for begin in range(8) for end in range(len(text) - 6, len(text) + 1)}


def test_the_longer_of_two_secrets_goes_first():
    texts = Redactor(lambda: {"password": "abcdefgh", "token": "abcdefgh-long"}, None, object())
    assert texts.text("abcdefgh-long abcdefgh") == f"{MASKED} {MASKED}"


def test_ten_thousand_secrets_cost_no_seconds():
    texts = Redactor(lambda: {f"password{n}": f"secret-number-{n}" for n in range(20_000)}, None, object())
    began = time.process_time()
    texts.text("x" * 64_000)
    assert time.process_time() - began < allowed(5)


SECRET_PART = {"writeOnly": True}
CARD = {"properties": {"card": SECRET_PART}}


@pytest.mark.parametrize(
    "schema",
    [
        {**CARD, "examples": [{"card": "A1"}]},
        {**CARD, "default": {"card": "A1"}},
        {**CARD, "const": {"card": "A1"}},
        {**CARD, "enum": [{"card": "A1"}, {"card": "A1", "n": 1}]},
        {"properties": {"sub": {**CARD, "default": {"card": "A1"}, "examples": [{"card": "A1"}]}}},
        {"properties": {"list": {"items": CARD, "default": [{"card": "A1"}], "examples": [[{"card": "A1"}]]}}},
        {"items": SECRET_PART, "default": ["A1"], "const": ["A1"], "enum": [["A1"]]},
        {"prefixItems": [{}, SECRET_PART], "default": [0, "A1"]},
        {"additionalProperties": SECRET_PART, "examples": [{"x": "A1"}]},
        {"patternProperties": {"^c": SECRET_PART}, "examples": [{"card": "A1"}]},
        {"$ref": "#/$defs/c", "$defs": {"c": CARD}, "examples": [{"card": "A1"}]},
        {"$ref": "#/$defs/c", "$defs": {"c": {"default": {"card": "A1"}}}, **CARD},
        {"properties": {"c": {"$ref": "#/$defs/c"}}, "$defs": {"c": {**CARD, "default": {"card": "A1"}}}},
        {"properties": {"c": {"$ref": "#/$defs/c", "writeOnly": True}}, "$defs": {"c": {"default": "A1"}}},
        {"properties": {"password": {"$ref": "#/$defs/c"}}, "$defs": {"c": {"enum": ["A1"]}}},
        {"properties": {"c": {"$ref": "#/$defs/c"}}, "$defs": {"c": SECRET_PART}, "default": {"c": "A1"}},
        {"allOf": [CARD, {"examples": [{"card": "A1"}]}]},
        {"allOf": [CARD], "default": {"card": "A1"}},
        {"allOf": [{"default": {"card": "A1"}}], **CARD},
        {"anyOf": [{"const": {"card": "A1"}}, {"not": {"enum": [{"card": "A1"}]}}], **CARD},
        {"if": {"const": {"card": "A1"}}, **CARD},
        {"dependentSchemas": {"x": {"default": {"card": "A1"}}}, **CARD},
        {"items": CARD, "contains": {"const": {"card": "A1"}}},
        {"$defs": {"unused": {**CARD, "default": {"card": "A1"}}}},
        {"properties": {"c": {"$ref": "#"}, "card": SECRET_PART}, "default": {"c": {"c": {"card": "A1"}}}},
        {"properties": {"sub": {"writeOnly": True, "properties": {"x": {"default": "A1"}}}}},
    ],
)
def test_values_of_a_schema_are_masked_by_all_that_applies_to_them(schema):
    before = copy.deepcopy(schema)
    masked = mask_schema(schema)
    assert "A1" not in json.dumps(masked)
    assert MASKED in json.dumps(masked)
    assert schema == before


def test_other_values_of_a_schema_stay():
    schema = {
        "properties": {"size": {"default": 7, "enum": [7, 8]}, "c": {**CARD, "default": {"card": None, "n": 1}}},
        "default": {"size": 8, "c": {"n": 2}},
        "examples": [{"size": 7}],
        "allOf": [True, {"not": {"const": {"size": 9}}}],
    }
    assert mask_schema(schema) == schema


def test_a_schema_of_very_many_places_shows_no_values():
    # Which of the schemas apply depends on which of the last 20 keys were `a`: a million places.
    after = {f"s{n}": {"properties": {key: {"$ref": f"#/$defs/s{n + 1}"} for key in "ab"}} for n in range(1, 20)}
    first = {
        "properties": {
            "a": {"allOf": [{"$ref": "#/$defs/s0"}, {"$ref": "#/$defs/s1"}]},
            "b": {"$ref": "#/$defs/s0"},
        }
    }
    schema = {"$defs": {"s0": first, **after, "s20": {"default": 1}}, "$ref": "#/$defs/s0"}
    began = time.process_time()
    masked = mask_schema(schema)
    assert time.process_time() - began < allowed(5)
    assert masked["$defs"]["s20"] == {"default": MASKED}


def test_many_keys_are_looked_at_once():
    value = {f"aB_cD-{number}_pas": 1 for number in range(50_000)}
    times = []
    for _ in range(3):
        began = time.process_time()
        assert mask(value) == value
        times.append(time.process_time() - began)
    assert min(times[1:]) < times[0] / 2


def test_a_password_by_its_format_is_hidden_like_what_is_write_only():
    word = {"type": "string", "format": "password", "default": "s3cret"}
    schema = {"properties": {"word": word, "rows": {"items": {"properties": {"word": word}}}}}
    assert mask({"word": "a", "rows": [{"word": "b"}]}, schema) == {"word": MASKED, "rows": [{"word": MASKED}]}
    assert "s3cret" not in str(mask_schema(schema))
    source = (
        "x.Y:\n  schema: {properties: {word: {format: password, default: s3cret}}}\n  payload: {word: s3cret}\n"
    )
    assert "s3cret" not in mask_source(source, schema)
