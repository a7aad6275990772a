"""Values with `${{ … }}` inside."""

from __future__ import annotations

import pytest

from django_director.expressions import ExpressionError, Reference, compile_value

from .helpers import NAMES


def filled(value: object) -> object:
    return compile_value(value).evaluate(NAMES)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # One single expression keeps the value's type
        ("${{ payload.amount }}", 1200),
        ("${{payload.lines}}", NAMES["payload"]["lines"]),
        ("${{ payload.email }}", None),
        ("${{ 'text' }}", "text"),
        # Otherwise the text is interpolated: texts as they are, others as JSON
        ("order ${{ payload.order }}", "order 7"),
        (" ${{ payload.order }}", " 7"),
        ("${{ payload.order }}\n", "7\n"),
        ("${{ payload.country }}-${{ index }}", "fr-1"),
        ("${{ payload.country }}${{ index }}", "fr1"),
        ("${{ payload.paid }} ${{ payload.email }} ${{ payload.rate }}", "true null 0.5"),
        ("${{ payload.class }} ${{ [1, 'a', 'gr\u00fcn'] }}", '{"from": "Lyon"} [1, "a", "gr\u00fcn"]'),
        # What only looks like one
        ("${{ '}}' }}", "}}"),
        ("""${{ "it's }} " + '"' }}!""", """it's }} "!"""),
        ("${{ '${{' }} stays", "${{ stays"),
        ("$ {{ a }} ${ b } }} $", "$ {{ a }} ${ b } }} $"),
        ("", ""),
        # Lists and mappings, to any depth
        (
            {"url": "${{ item.url }}", "width": 200, "more": [["${{ index }}", None], {"id": "#${{ run.id }}"}]},
            {"url": "https://example.org/a.png", "width": 200, "more": [[1, None], {"id": "#0199"}]},
        ),
        ({1: "${{ index }}"}, {1: 1}),
        (None, None),
        (True, True),
        (2.5, 2.5),
    ],
)
def test_filled_in(value, expected):
    found = filled(value)
    assert (found, type(found)) == (expected, type(expected))


def test_what_is_filled_in_once_is_not_read_again():
    template = compile_value("${{ payload.a }} and ${{ payload.a }}")
    assert template.evaluate({"payload": {"a": "${{ run.id }}"}}) == "${{ run.id }} and ${{ run.id }}"


@pytest.mark.parametrize(
    ("value", "constant"),
    [
        ({"a": [1, "b", None]}, True),
        ("${{ range(3) }}", True),
        ("a ${{ 1 + 1 }}", True),
        (["a", {"b": "${{ index }}"}], False),
        ("a ${{ index }}", False),
    ],
)
def test_what_is_constant(value, constant):
    template = compile_value(value)
    assert template.is_constant is constant
    if constant:
        assert template.evaluate({}) == filled(value)


def test_references_lead_to_their_place():
    template = compile_value({"a": ["x", "n ${{ index }} of ${{ payload.amount }}"], "b": "${{ item }}"})
    assert template.references == (
        Reference("index", (), 7, ("a", 1)),
        Reference("payload", ("amount",), 23, ("a", 1)),
        Reference("item", (), 5, ("b",)),
    )


@pytest.mark.parametrize(
    ("value", "place", "column", "text", "message"),
    [
        ({"a": ["x", "is ${{ payload. }}"]}, ("a", 1), 17, "payload.", "a name is missing after the dot"),
        (["${{ 1"], (0,), 1, "${{ 1", "this `${{` or a quote in it is never closed"),
        (["a ${{ 'it }}"], (0,), 3, "${{ 'it }}", "this `${{` or a quote in it is never closed"),
        ("${{ }}", (), 5, "", "the expression is empty"),
        ({"a": {"${{ index }}": 1}}, ("a",), 1, "${{ index }}", "an expression can't be a key"),
        (
            "${{ 1 }} ${{ 1 + '' }}",
            (),
            16,
            "1 + ''",
            "`+` takes two numbers or two texts, not a number and a text",
        ),
    ],
)
def test_an_error_leads_to_its_place(value, place, column, text, message):
    with pytest.raises(ExpressionError) as caught:
        compile_value(value)
    error = caught.value
    assert (error.place, error.column, error.text, error.message) == (place, column, text, message)


def test_an_error_at_run_time_leads_to_its_place():
    template = compile_value({"a": ["x", "is ${{ payload.prices[9] }}"]})
    with pytest.raises(ExpressionError) as caught:
        template.evaluate(NAMES)
    error = caught.value
    assert (error.place, error.column, error.text) == (("a", 1), 22, "payload.prices[9]")
    assert error.message == "`payload.prices` has no index 9; it has 3 parts"


def test_what_was_filled_in_is_new_each_time():
    value = {"a": [1, {"b": 2}], "c": "${{ index }}"}
    template = compile_value(value)
    first = template.evaluate(NAMES)
    first["a"][1]["b"] = 3
    assert template.evaluate(NAMES) == {"a": [1, {"b": 2}], "c": 1}
    assert value["a"] == [1, {"b": 2}]


def test_a_value_that_is_nested_too_deeply():
    value: list[object] = ["${{ index }}"]
    for _ in range(5000):
        value = [value]
    with pytest.raises(ExpressionError, match="nested deeper than"):
        compile_value(value)
