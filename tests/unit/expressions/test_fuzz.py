"""Random texts give an error or a value; random expressions give what Python gives."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from django_director.expressions import ExpressionError, compile_expression, compile_value
from tests.examples import examples

from .helpers import NAMES

WORDS = [
    *("payload", "tasks", "run", "item", "index", "FETCH", "result", "status", "lines", "id", "class"),
    *("and", "or", "not", "in", "true", "None", "if", "for", "lambda", "is", "__class__", "x"),
    *("len", "min", "max", "sum", "range", "str", "int", "float", "bool", "lower", "upper", "default"),
    *("(", ")", "[", "]", ",", ".", "+", "-", "*", "/", "%", "**", "//", "==", "!=", "<", "<=", ">", "=", "!"),
    *("0", "1", "2.5", "1e308", "9223372036854775807", "007", "'a'", '"b"', "'", '"', "\\", r"'\u0041'"),
    *("${{", "}}", "{", "}", "$", "|", ":", ";", " ", "\n", "\u00e9", "\x00", "\ud800", "\u0661"),
]
texts = st.lists(st.sampled_from(WORDS), max_size=30).flatmap(
    lambda words: st.sampled_from(["", " "]).map(lambda between: between.join(words))
)


def only_json(value: Any) -> bool:
    return bool(json.dumps(value, allow_nan=False))


def outcome(compile_it: Any, value: Any, names: dict[str, Any]) -> tuple[Any, ExpressionError | None]:
    try:
        return compile_it(value).evaluate(names), None
    except ExpressionError as error:
        return None, error


@examples(200)
@given(texts | st.text(max_size=60))
@example("0" * 9999)
@example("((((")
def test_random_text_gives_an_error_or_json(text):
    value, error = outcome(compile_expression, text, NAMES)
    assert only_json(value)
    assert error is None or (error.message and 1 <= error.column <= len(text) + 1)


@settings(deadline=None)
@given(
    st.lists(texts, max_size=3)
    | st.dictionaries(st.text(max_size=3), texts.map("a ${{{{ {} }}}}".format), max_size=2)
)
def test_random_templates_give_an_error_or_json(value):
    found, error = outcome(compile_value, value, NAMES)
    assert only_json(found)
    assert error is None or error.message


DATA: dict[str, Any] = {"i": 7, "f": -2.5, "t": "tea", "yes": True, "list": [3, 1, 2], "map": {"k": 4}}


def binary(operands: st.SearchStrategy[str], *operators: str) -> st.SearchStrategy[str]:
    return st.tuples(operands, st.sampled_from(operators), operands).map(" ".join)


def bracketed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return inner.map(lambda text: f"({text})")


def call(name: str, inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return inner.map(lambda text: f"{name}({text})")


def listed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(inner, min_size=1, max_size=3).map(lambda parts: "[" + ", ".join(parts) + "]")


integers = st.recursive(
    st.integers(0, 50).map(str) | st.sampled_from(['payload["i"]', 'payload["map"]["k"]', 'payload["list"][1]']),
    lambda inner: (
        binary(inner, "+", "-", "*", "%")
        | bracketed(inner)
        | inner.map(lambda text: f"-({text})")
        | st.sampled_from(["- 3", "-payload['i']"])
        | call("len", listed(inner))
        | call("sum", listed(inner))
        | call("max", listed(inner))
        | call("min", listed(inner))
        | call("sum", call("range", st.integers(0, 9).map(str)))
        | st.tuples(listed(inner), st.sampled_from(["0", "-1"])).map(lambda pair: f"{pair[0]}[{pair[1]}]")
    ),
    max_leaves=6,
)
numbers = integers | binary(
    integers | st.sampled_from(['payload["f"]', "1.5", "2e3"]), "/", "+", "-", "*", "%", "+ -"
)
strings = st.recursive(
    st.sampled_from(["'a'", '"te"', "''", 'payload["t"]', r"'\n\u00e9'"]),
    lambda inner: binary(inner, "+") | bracketed(inner) | call("lower", inner) | call("upper", inner),
    max_leaves=4,
)
ORDERS = ("<", "<=", ">", ">=", "==", "!=")
comparisons = (
    binary(numbers, *ORDERS)
    | binary(strings, *ORDERS)
    | binary(strings, "in", "not in")
    | st.tuples(integers, st.sampled_from(["in", "not in"]), listed(integers)).map(" ".join)
    | st.tuples(numbers, st.sampled_from(ORDERS), numbers, st.sampled_from(ORDERS), numbers).map(" ".join)
    | binary(listed(numbers), "==", "!=")
)
booleans = st.recursive(
    comparisons | st.sampled_from(['payload["yes"]', "True", "False"]) | call("bool", numbers | strings),
    lambda inner: binary(inner, "and", "or") | bracketed(inner) | inner.map(lambda text: f"not {text}"),
    max_leaves=6,
)
REFERENCE = {
    "__builtins__": {"len": len, "min": min, "max": max, "sum": sum, "bool": bool, "range": range},
    "lower": str.lower,
    "upper": str.upper,
    "payload": DATA,
}


@examples(200)
@given(booleans | numbers | strings)
@example("2 - 3 - 4 * -2 % 5")
@example("not 1 < 2 == 2 or False and True")
def test_an_expression_gives_what_python_gives(text):
    found, error = outcome(compile_expression, text, {"payload": DATA})
    assume(error is None or "nested deeper" not in error.message)
    try:
        expected = eval(text, dict(REFERENCE))
    except ZeroDivisionError:
        assert error
        return
    if error:
        assert "64 bits" in error.message
        return
    assert (found, type(found)) == (expected, type(expected))
    assert not isinstance(found, float) or math.copysign(1, found) == math.copysign(1, expected)


strict_json = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, "", "1", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=8,
)


def marked(value: Any) -> Any:
    """The same, with booleans that Python does not take for numbers."""
    if isinstance(value, list):
        return [marked(part) for part in value]
    if isinstance(value, dict):
        return {key: marked(part) for key, part in value.items()}
    return f"a boolean: {value}" if isinstance(value, bool) else value


@settings(deadline=None)
@given(strict_json, strict_json)
@example([True], [1])
@example({"a": 1}, {"b": 1})
@example({"a": 0}, {"a": False})
def test_equality_is_that_of_json(one, other):
    names = {"payload": one, "item": other}
    equal = marked(one) == marked(other)
    assert compile_expression("payload == item").evaluate(names) is equal
    assert compile_expression("payload != item").evaluate(names) is not equal
    assert compile_expression("payload in [item]").evaluate(names) is equal
