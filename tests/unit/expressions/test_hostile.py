"""Expressions and data that mean harm: nothing of Python is reached, and time and memory are bounded."""

from __future__ import annotations

import inspect
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from django_director.expressions import ExpressionError, compile_expression, compile_value
from django_director.expressions.budget import MAX_NESTING, MAX_TEXT

from .helpers import NAMES, value_of

#: Generous: a slow machine under load. Without limits these take minutes and gigabytes.
MAX_SECONDS = 10
MAX_BYTES = 100_000_000

NUMBERS = [0] * 100_000
LONG = "x" * 1_000_000
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


def full(part: str, between: str = " + ") -> str:
    """As many of ``part`` as an expression may hold."""
    return between.join([part] * (MAX_TEXT // len(part + between)))


def outcome(compile_it: Any, value: Any, payload: Any) -> str:
    """The error's message, or nothing."""
    try:
        compile_it(value).evaluate({"payload": payload})
    except ExpressionError as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("text", "payload", "message"),
    [
        ("'a' * 1000000000", None, "`*` takes two numbers"),
        ("'%1000000000d' % 1", None, "`%` takes two numbers"),
        ("[0] * 1000000000", None, "`*` takes two numbers"),
        ("9 ** 9 ** 9", None, "no operator here"),
        (full("9223372036854775807", " * "), None, "64 bits"),
        ("9" * MAX_TEXT, None, "64 bits"),
        ("range(1000000000000000000)", None, "at most 100,000"),
        ("range(0, 1000000000000000000, 9999999999999)", None, "at most 100,000"),
        ("range(-9223372036854775808, 9223372036854775807)", None, "at most 100,000"),
        (full("len(range(9999))"), None, "steps"),
        ("[" * 4000 + "]" * 4000, None, "nested deeper"),
        ("(" * 4000 + "1" + ")" * 4000, None, "nested deeper"),
        ("len(" * 1900 + "1" + ")" * 1900, None, "nested deeper"),
        ("payload[" * 1000 + "1" + "]" * 1000, None, "nested deeper"),
        ("-" * 9000 + "1", None, "nested deeper"),
        ("not " * 2000 + "1", None, "nested deeper"),
        ("1" * (MAX_TEXT + 1), None, "more than 10,000 characters"),
        (full("payload"), LONG, "characters or parts"),
        ("[" + "payload," * 1200 + "]", LONG, "characters or parts"),
        ("[" + "payload," * 1200 + "]", NUMBERS, "characters or parts"),
        ("[" + "[payload,payload]," * 500 + "]", NUMBERS, "characters or parts"),
        (full("len(str(payload))"), NUMBERS, "characters or parts"),
        (full("len(upper(payload))"), LONG, "characters or parts"),
        (full("sum(payload)"), NUMBERS, "steps"),
        (full("max(payload)"), NUMBERS, "steps"),
        (full("1 in payload", " or "), NUMBERS, "steps"),
        (full("'y' in payload", " or "), LONG, "steps"),
        (full("payload[0]==payload[1]", " and "), [NUMBERS, list(NUMBERS)], "steps"),
        (full("payload[0]<=payload[1]", " and "), [LONG + "y", LONG + "z"], "steps"),
        (full("default(payload.n,1)"), {f"n{i}": i for i in range(100_000)}, ""),
        ("payload." + "n" * 9000, {"n" * 8999 + str(i): i for i in range(1000)}, "has no"),
        ("payload" + ".a" * 4900, {"a": {}}, "has no"),
        ("1" + " + 1" * 2400, None, ""),
        ("0" + " < 1 < 2" * 1200, None, ""),
        ("payload == payload", DEEP, ""),
        ("str(payload)", DEEP, "can't be written as JSON"),
        ("'" + "\\\\" * 4990, None, "never closed"),
        ("'" * 9999, None, "never closed"),
        ("tasks." + "a-" * 4900, None, "needs `.result`"),
        ("payload." + "a-" * 4900 + "a", None, "unknown name"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_an_expression_costs_little(text, payload, message):
    start = time.process_time()
    found = outcome(compile_expression, text, payload)
    assert time.process_time() - start < MAX_SECONDS
    assert message in found
    assert bool(message) == bool(found)


@pytest.mark.parametrize(
    ("value", "payload", "message"),
    [
        (["${{ payload }}"] * 10_000, NUMBERS, "characters or parts"),
        (["${{ payload }}"] * 10_000, LONG, "characters or parts"),
        (["a ${{ payload }}"] * 10_000, LONG, "characters or parts"),
        ("${{ payload }}" * 10_000, LONG, "characters or parts"),
        ({str(i): "${{ payload[0] }}" for i in range(10_000)}, [{"k" * 1_000_000: 1}], "characters or parts"),
        ("${{ 'a' " * 100_000, None, "never closed"),
        ("${{ 'a' \"b\" } " * 50_000 + "'", None, "never closed"),
        ("${{ 1 }}" * 10_000, None, ""),
    ],
    ids=range(8),
)
def test_a_template_costs_little(value, payload, message):
    start = time.process_time()
    found = outcome(compile_value, value, payload)
    assert time.process_time() - start < MAX_SECONDS
    assert message in found
    assert bool(message) == bool(found)


@pytest.mark.parametrize(
    ("compile_it", "value", "payload"),
    [
        (compile_expression, full("payload"), LONG),
        (compile_expression, "[" + "payload + 'a'," * 600 + "]", LONG),
        (compile_expression, "[" + "str(payload)," * 600 + "]", [LONG]),
        (compile_expression, "[" + "upper(payload)," * 600 + "]", LONG),
        (compile_expression, "[" + "range(10000)," * 700 + "]", None),
        (compile_expression, "payload[0] == payload[1]", [NUMBERS, list(NUMBERS)]),
        (compile_value, ["a ${{ payload }}"] * 1000, LONG),
        (compile_value, "${{ payload }}" * 1000, LONG),
    ],
    ids=range(8),
)
def test_memory_is_bounded(compile_it, value, payload):
    tracemalloc.start()
    try:
        outcome(compile_it, value, payload)
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        *("payload.__class__", "payload.__class__.__mro__[1].__subclasses__()", "payload['__class__']"),
        *("payload.lines.append", "payload.items()", "payload.country.format", "run.__dict__", "index.real"),
        *("tasks.__class__", "tasks.FETCH.__class__", "tasks.FETCH.result.__init__.__globals__"),
        *("''.__class__", "().__class__", "[].__class__", "1 .__class__", "len.__self__", "true.real"),
        *("__import__('os')", "eval('1')", "open('/etc/passwd')", "getattr(payload, 'x')", "print(1)", "super()"),
        *("lambda: 1", "[x for x in [1]]", "[[y for y in [x]] for x in [1]]", "(x := 1)", "x", "__builtins__"),
        *("f'{payload}'", "b'a'", "r'a'", "'''a'''", "`ls`", "payload; payload", "payload = 1", "*payload"),
        *("{}", "{1}", "yield 1", "await x", "import os", "payload if true else 1", "default(*payload)"),
        *(
            "len(x=payload)",
            "@payload",
            "payload @ payload",
            "1 << 99",
            "~1",
            "1 & 2",
            "1 ^ 2",
            "...",
            "payload[:]",
        ),
    ],
)
def test_nothing_of_python_is_reached(text):
    with pytest.raises(ExpressionError):
        value_of(text)


class Trap:
    """An object that no expression may look into."""

    secret = "reached"

    def __getitem__(self, key: object) -> str:
        return self.secret

    def __contains__(self, key: object) -> bool:
        return True

    def __len__(self) -> int:
        return 1

    def __add__(self, other: object) -> str:
        return self.secret

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "text",
    [
        *("payload", "payload.secret", "payload['secret']", "payload[0]", "'a' in payload", "len(payload)"),
        *("payload + 'a'", "payload == 1", "1 == payload", "payload < 1", "str(payload)", "[payload]", "-payload"),
        *("min([payload])", "sum([payload])", "int(payload)", "bool(payload)", "not payload", "payload or 1"),
    ],
)
def test_what_is_not_json_is_not_looked_into(text):
    with pytest.raises(ExpressionError, match="a value of type Trap is not JSON"):
        value_of(text, payload=Trap())
    with pytest.raises(ExpressionError):
        compile_value({"a": f"${{{{ {text} }}}}"}).evaluate({**NAMES, "payload": Trap()})


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": {1}}, [[], {("a", 1): 2}]])
def test_what_json_does_not_have_is_not_written(value):
    with pytest.raises(ExpressionError):
        value_of("str(payload)", payload=value)
    with pytest.raises(ExpressionError):
        compile_value("a ${{ payload }}").evaluate({"payload": value})


@contextmanager
def frames_left(count: int) -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + count)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def test_as_deep_as_allowed():
    # Each level goes through all strengths of operators; the stack of Python must hold it.
    inner = "payload.order"
    for _ in range(MAX_NESTING):
        inner = f"(0 or 0 or 1 and 0 == 1 + 2 * {inner} - 1 * 1)"
    with frames_left(400):
        expression = compile_expression(inner)
        # The last but one level finds a boolean to multiply: by then the evaluation is all the way down.
        with pytest.raises(ExpressionError, match="not a number and a boolean"):
            expression.evaluate(NAMES)
    with pytest.raises(ExpressionError, match="nested deeper"):
        compile_expression(f"({inner})")
