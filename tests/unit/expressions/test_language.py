"""Every sentence of the language, as a table."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from django_director.exceptions import DirectorError
from django_director.expressions import ExpressionError, Reference, compile_expression, spell

from .helpers import NAMES, value_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # With or without one `${{ … }}`
        ("payload.amount", 1200),
        ("${{ payload.amount }}", 1200),
        ("  ${{payload.amount}}\n", 1200),
        ("\n payload.amount\n  > 1000\n", True),
        ("${{ '}}' }}", "}}"),
        # Literals: JSON's and Python's
        ("[true, false, null]", [True, False, None]),
        ("[True, False, None]", [True, False, None]),
        ("[0, 17, -3, 1.5, 2e3, 1.25E-2, -0.5]", [0, 17, -3, 1.5, 2000.0, 0.0125, -0.5]),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775807", 2**63 - 1),
        ("""['a "b"', "it's"]""", ['a "b"', "it's"]),
        (r'''"\" \\ \/ \n\t\r\b\f"''', '" \\ / \n\t\r\b\f'),
        (r"'\''", "'"),
        (r'"\u00e9 A\u0041\ud83d\ude00"', "\u00e9 AA\U0001f600"),
        ('"gr\u00fc\u00dfe"', "gr\u00fc\u00dfe"),
        ("[]", []),
        ("[[1], [],]", [[1], []]),
        # Names
        ("tasks.FETCH.result.id", 41),
        ("tasks.FETCH.status", "success"),
        ("tasks.SIGN_OFF.decision.by", "eva"),
        ("run.id", "0199"),
        ("run.workflow", "shop.ORDER"),
        ("run.trigger", "api"),
        ("run.scheduled_for", None),
        ("item.url", "https://example.org/a.png"),
        ("index", 1),
        # Python's keywords after a dot; other names in brackets
        ("payload.class.from", "Lyon"),
        ("item.from", 3),
        ('tasks["shop.tasks.notify"].status', "failed"),
        ("tasks['FETCH-2'].result", 2),
        ('payload["order-id"]', "A-1"),
        ('payload["cla" + "ss"].from', "Lyon"),
        ("payload . class\n. from", "Lyon"),
        # Indexing
        ("payload.prices[0]", 5),
        ("payload.prices[-1]", 9),
        ("payload.prices[index]", 2.5),
        ("payload.lines[payload.lines[0].count - 1].sku", "y"),
        ("payload.country[0]", "f"),
        ("[1, 2][1]", 2),
        ("(payload.class).from", "Lyon"),
        # Comparison
        ("payload.amount > 1000", True),
        ("1 <= 1.0", True),
        ("2 < 1", False),
        ("1 >= 2", False),
        ("'a' < 'b'", True),
        ("1 == 1.0", True),
        ("1 != 2", True),
        ("'1' == 1", False),
        ("null == false", False),
        ("1 == true", False),
        ("0 == false", False),
        ("[1, [true]] == [1.0, [true]]", True),
        ("[true] == [1]", False),
        ("payload.class == payload.class", True),
        ("payload.class == payload", False),
        ("payload.lines[0] == payload.lines[1]", False),
        ("[1] == [1, 2]", False),
        ("1 < 2 < 3", True),
        ("1 < 3 < 2", False),
        ("3 < 2 < payload.nothing", False),
        ("1 == 1 == 1", True),
        # and or not: the operand that decides, and no further one
        ("true and false", False),
        ("true or false and false", True),
        ("not true or true", True),
        ("not 1 == 2", True),
        ("not not payload.lines", True),
        ("payload.email or 'none'", "none"),
        ("payload.empty and payload.nothing", []),
        ("1 or payload.nothing", 1),
        # in
        ("2 in [1, 2]", True),
        ("1 in [true]", False),
        ("1 not in [true]", True),
        ("'r' in payload.country", True),
        ("'class' in payload", True),
        ("'items' in payload", False),
        ("not 'x' in 'abc'", True),
        # + - * / % and unary minus
        ("1 + 2 * 3 - 4", 3),
        ("(1 + 2) * 3", 9),
        ("10 - 3 - 2", 5),
        ("7 / 2", 3.5),
        ("6 / 3", 2.0),
        ("7 % 3", 1),
        ("-7 % 3", 2),
        ("2 * -3", -6),
        ("-payload.amount", -1200),
        ("- -1", 1),
        ("1-1", 0),
        ("'a' + 'b' + payload.country", "abfr"),
        ("payload.amount + payload.rate", 1200.5),
        # Functions
        ("len(payload.lines)", 2),
        ("len('abc')", 3),
        ("len(payload.class)", 1),
        ("min(payload.prices)", 2.5),
        ("max(payload.prices)", 9),
        ("min(3, 1, 2)", 1),
        ("max('a', 'b')", "b"),
        ("sum(payload.prices)", 16.5),
        ("sum([])", 0),
        ("range(3)", [0, 1, 2]),
        ("range(1, 3)", [1, 2]),
        ("range(5, 0, -2)", [5, 3, 1]),
        ("range(0)", []),
        ("str(1.5)", "1.5"),
        ("str(true)", "true"),
        ("str(null)", "null"),
        ("str('as it is')", "as it is"),
        ("str(payload.class)", '{"from": "Lyon"}'),
        ("int('12')", 12),
        ("int(' -7 ')", -7),
        ("int(3.9)", 3),
        ("int(-3.9)", -3),
        ("int(true)", 1),
        ("float('1.5e3')", 1500.0),
        ("float(2)", 2.0),
        ("bool(payload.empty)", False),
        ("bool('false')", True),
        ("lower('AbC')", "abc"),
        ("upper(payload.country)", "FR"),
        # default: where something is missing or null, and only there
        ("default(payload.email, 'none')", "none"),
        ("default(payload.nothing, 3)", 3),
        ("default(payload.email.domain, 3)", 3),
        ("default(payload.prices[7], 3)", 3),
        ("default(tasks.FETCH.decision, 3)", 3),
        ("default(run.error, 'none')", "none"),
        ("default(payload.nothing + 1, 3)", 3),
        ("default(payload.paid, payload.nothing)", True),
        ("default(false, true)", False),
        ("default(0, 1)", 0),
        ("default(payload.nothing, null)", None),
        ("default(default(payload.no, payload.nothing), 4)", 4),
    ],
)
def test_value(text, value):
    found = value_of(text)
    assert (found, type(found)) == (value, type(value))
    assert repr(found) == repr(value), "True is not 1, 1 is not 1.0"


@pytest.mark.parametrize(
    "text",
    [
        *(f"{a} < {b}" for a, b in [("1", "'1'"), ("true", "1"), ("null", "1"), ("[1]", "1"), ("1", "payload")]),
        *("true < false", "null <= null", "[1] < [2]", "payload >= payload"),
        *("true + 1", "1 + true", "'a' + 1", "1 + 'a'", "[1] + [2]", "null + 1", "payload + payload"),
        *("'a' * 3", "3 * 'a'", "[0] * 3", "'a' - 'b'", "'%s' % 1", "true * true", "true / true", "-true", "-'a'"),
        *("1 in 1", "1 in 'a'", "1 in payload", "'a' in null", "null in 'a'"),
        *("payload.order.x", "payload.paid.x", "payload.country.x", "payload.lines.sku", "payload.lines['0']"),
        *("payload.lines[1.0]", "payload.lines[true]", "payload[0]", "payload[null]", "payload.lines[null]"),
        *("len(1)", "len(null)", "min(1)", "min([])", "max([1, 'a'])", "min(true, false)", "max([null])"),
        *("sum('ab')", "sum([true])", "sum(['a'])", "sum(1)", "range('3')", "range(1.0)", "range(true)"),
        *("range(0, 1, 0)", "int('1.5')", "int('')", "int('1_0')", "int(null)", "int([1])", "int('\u0661')"),
        *("float('nan')", "float('inf')", "float('1e999')", "float('')", "float(null)", "lower(1)", "upper(null)"),
        *("1 / 0", "1 % 0", "1.0 / 0", "1e308 * 10", "9223372036854775807 + 1", "-(-9223372036854775808)"),
        *("int(1e300)", "int('9223372036854775808')", "sum([9223372036854775807, 1])"),
        *(
            "default(payload.lines.sku, 1)",
            "default(1 + 'a', 1)",
            "default(1 / 0, 1)",
            "default(payload.order.x, 1)",
        ),
    ],
)
def test_what_does_not_fit_is_an_error_also_for_default(text):
    with pytest.raises(ExpressionError):
        value_of(text)


@pytest.mark.parametrize("root", ["payload", "item", "index", "run.error", "tasks.FETCH.result"])
def test_a_name_that_this_place_does_not_have(root):
    # Not what `default` is for: the name stands in the wrong place, whatever the data.
    with pytest.raises(ExpressionError, match="there is no"):
        compile_expression(f"default({root}, 1)").evaluate({})


def test_references():
    expression = compile_expression('tasks.FETCH.result.images[item.n][0].url in payload["order-id"] or payload')
    assert expression.references == (
        Reference("tasks", ("FETCH", "result", "images"), 1),
        Reference("item", ("n",), 27),
        Reference("payload", ("order-id",), 45),
        Reference("payload", (), 68),
    )
    assert [str(reference) for reference in expression.references] == [
        "tasks.FETCH.result.images",
        "item.n",
        'payload["order-id"]',
        "payload",
    ]


def test_columns_count_in_the_text_that_was_given():
    assert compile_expression(" ${{ index }}").references[0].column == 6
    assert compile_expression("\n index").references[0].column == 3
    assert compile_expression(" ${{ index }}").text == "index"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("FETCH", "result", 0, -1), "tasks.FETCH.result[0][-1]"),
        (("FETCH-2", "result"), 'tasks["FETCH-2"].result'),
        (('a"b', "\u00e9", "", "2x", "class"), 'tasks["a\\"b"]["\u00e9"][""]["2x"].class'),
    ],
)
def test_a_path_as_expressions_have_it(path, text):
    assert spell("tasks", *path) == text


class Lazy(Mapping[str, Any]):
    """A mapping that notes what it was asked for."""

    def __init__(self, data: dict[str, Any], asked: list[str]) -> None:
        self.data = data
        self.asked = asked

    def __getitem__(self, key: str) -> Any:
        self.asked.append(key)
        value = self.data[key]
        return Lazy(value, self.asked) if key in NAMES["tasks"] or key == "tasks" else value

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


def test_only_what_is_used_is_asked_for():
    asked: list[str] = []
    text = "tasks.FETCH.status == 'failed' and tasks.SIGN_OFF.result or tasks.FETCH.result.id"
    assert compile_expression(text).evaluate(Lazy(NAMES, asked)) == 41
    assert asked == ["tasks", "FETCH", "status", "tasks", "FETCH", "result"]


def test_what_is_missing_is_told_without_asking_for_values():
    asked: list[str] = []
    with pytest.raises(ExpressionError, match=r"`tasks` has no `FETSCH`; there is `FETCH`, "):
        compile_expression("tasks.FETSCH.result").evaluate(Lazy(NAMES, asked))
    assert asked == ["tasks", "FETSCH"]


def test_an_error_says_text_place_and_cause_and_no_value():
    with pytest.raises(DirectorError) as caught:
        value_of("1 + int(payload.card)", payload={"card": "4111-secret"})
    error = caught.value
    assert isinstance(error, ExpressionError)
    assert (error.text, error.column) == ("1 + int(payload.card)", 5)
    assert str(error) == "`1 + int(payload.card)`, column 5: `int` of a text that is no whole number"


def test_an_error_survives_pickling():
    error = ExpressionError("message", "text", 3, "hint", ("a", 0))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_an_error_is_not_longer_than_can_be_read():
    with pytest.raises(ExpressionError) as caught:
        value_of("1 + " * 2000 + "'a'")
    assert len(str(caught.value)) < 400


def test_the_value_of_a_literal_is_new_each_time():
    expression = compile_expression("[1, []]")
    first = expression.evaluate({})
    first[1].append(2)
    assert expression.evaluate({}) == [1, []]
