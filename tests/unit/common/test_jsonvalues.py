from __future__ import annotations

import datetime
import decimal
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_director.common.json_values import MAX_DEPTH, NotStorable, normalise

LIMIT = 10_000


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ((1, (2,)), [1, [2]]),
        (datetime.date(2026, 11, 23), "2026-11-23"),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({1: "a", None: "b"}, {"1": "a", "null": "b"}),
        ("\\u0000 spelt out is text", "\\u0000 spelt out is text"),
        ("\N{GRINNING FACE} outside the basic plane", "\N{GRINNING FACE} outside the basic plane"),
        (2**63 - 1, 2**63 - 1),
        (nested(MAX_DEPTH), nested(MAX_DEPTH)),
        ([[]] * 100, [[]] * 100),
    ],
)
def test_what_is_stored(value, stored):
    assert normalise(value, LIMIT) == stored


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1}, r"type set is not JSON at \$"),
        ({"a": [1, b"x"]}, r"type bytes is not JSON at \$\.a\[1\]"),
        ([float("nan")], r"number nan is not JSON at \$\[0\]"),
        ({"a": float("-inf")}, r"number -inf is not JSON at \$\.a"),
        ({"a": ["ok", "nul\x00"]}, r"NUL character at \$\.a\[1\]"),
        ({"k\x00": 1}, r"NUL character at \$"),
        (["half \ud83d"], r"half a surrogate pair at \$\[0\]"),
        (["ok", "half \ude00"], r"half a surrogate pair at \$\[1\]"),
        (10**400, "64 bits"),
        ([2**63], "64 bits"),
        pytest.param(10**5000, "64 bits", id="huge"),
        ({(1, 2): 3}, "key of type tuple"),
        (nested(MAX_DEPTH + 1), "deeper than"),
        pytest.param(nested(900), "deeper than", id="deep"),
        pytest.param(nested(100_000), "deeper than", id="very deep"),
        ("x" * LIMIT, "the limit is 10,000"),
    ],
)
def test_what_is_refused_says_what_and_where(value, message):
    with pytest.raises(NotStorable, match=message):
        normalise(value, LIMIT)


def test_a_value_that_holds_itself():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(NotStorable, match="deeper than"):
        normalise(loop, LIMIT)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), inner)
    ),
    max_leaves=20,
)


@given(json_values)
def test_plain_json_comes_back_as_it_was(value):
    assert normalise(value, 10**9) == value


@pytest.mark.parametrize("text", ["x", "é", "€", "😀", "\x1f", "\\u00e9", '"'])
def test_the_limit_counts_bytes_of_utf_8(text):
    value = {"text": text * 50, text: [text]}
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    assert normalise(value, size) == value
    with pytest.raises(NotStorable, match=f"it has {size} bytes as JSON, the limit is {size - 1}"):
        normalise(value, size - 1)


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"k": value}])
def test_what_lies_too_deep_is_found_among_much_that_does_not(wrap):
    def nested(levels):
        value = 1
        for _ in range(levels):
            value = wrap(value)
        return value

    flat = [nested(20)] * 100
    assert normalise([*flat, nested(28)], 10**6) == [*flat, nested(28)]
    with pytest.raises(NotStorable, match="deeper than 30 levels"):
        normalise([*flat, nested(29)], 10**6)
    assert normalise("[" * 100, 10**6) == "[" * 100
