"""Which value goes to which parameter (language, section 3)."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_director.definitions import ArgumentsError, Plans, plan

UPSTREAM = object()


def bind(function, given=None, *, upstream=UPSTREAM, payload="P", workflow_id="W"):
    given = given or {}
    planned = plan(inspect.signature(function), frozenset(given), upstream is not None)
    return planned.bind(given=given, payload=payload, workflow_id=workflow_id, upstream=upstream)


@pytest.mark.parametrize(
    ("function", "given", "upstream", "args", "kwargs"),
    [
        (lambda *args, **kwargs: 0, {}, None, (None,), {"payload": "P", "workflow_id": "W"}),
        (lambda *args, **kwargs: 0, {}, 7, (7,), {"payload": "P", "workflow_id": "W"}),
        (lambda *args, **kwargs: 0, {"a": 1}, 7, (7,), {"a": 1, "payload": "P", "workflow_id": "W"}),
        (lambda *args, **kwargs: 0, {"payload": 1}, 7, (7,), {"payload": 1, "workflow_id": "W"}),
        (lambda rows, payload: 0, {}, 7, (7,), {"payload": "P"}),
        (lambda payload, rows: 0, {}, 7, (), {"payload": "P", "rows": 7}),
        (lambda payload=None: 0, {}, 7, (), {"payload": "P"}),
        (lambda order_id, amount: 0, {"order_id": 1, "amount": 2}, 7, (), {"order_id": 1, "amount": 2}),
        (lambda order_id, amount: 0, {"order_id": 1}, 7, (), {"order_id": 1, "amount": 7}),
        (lambda days=30: 0, {}, 7, (), {}),
        (lambda days=30: 0, {}, None, (), {}),
        (lambda: 0, {}, 7, (), {}),
        (lambda *, workflow_id, x=1: 0, {}, 7, (), {"workflow_id": "W"}),
        (lambda a, b=5, *args: 0, {"a": 1}, 7, (1, 5, 7), {}),
        (lambda payload, *args: 0, {}, None, ("P", None), {}),
        (lambda rows, *args: 0, {}, 7, (7,), {}),
        (lambda rows, /, payload: 0, {}, 7, (7,), {"payload": "P"}),
        (lambda payload, /: 0, {}, 7, ("P",), {}),
        (lambda a=1, payload=2, /: 0, {}, 7, (1, "P"), {}),
        (lambda a, /, **kwargs: 0, {"a": 1}, 7, (7,), {"a": 1, "payload": "P", "workflow_id": "W"}),
    ],
)
def test_binding(function, given, upstream, args, kwargs):
    assert bind(function, given, upstream=upstream) == (args, kwargs)
    function(*args, **kwargs)


@pytest.mark.parametrize(
    ("function", "given", "upstream", "code", "words"),
    [
        (lambda rows: 0, {}, None, "D402", "`rows`"),
        (lambda rows, *args: 0, {}, None, "D402", "`rows`"),
        (lambda a, b: 0, {}, 7, "D402", "`b`"),
        (lambda *, key: 0, {}, 7, "D402", "`key`"),
        (lambda rows: 0, {"colour": 1}, 7, "D403", "`colour`"),
        (lambda a, /: 0, {"a": 1}, 7, "D403", "`a`"),
        (lambda *args: 0, {"args": 1}, 7, "D403", "`args`"),
    ],
)
def test_refusal(function, given, upstream, code, words):
    with pytest.raises(ArgumentsError, match=words) as caught:
        bind(function, given, upstream=upstream)
    assert caught.value.code == code


def test_a_task_may_change_what_it_gets():
    given = {"rows": [1]}
    _, kwargs = bind(lambda rows: 0, given)
    kwargs["rows"].append(2)
    assert given == {"rows": [1]}


def test_plans_are_made_once_even_with_defaults_that_cannot_be_hashed():
    plans = Plans(inspect.signature(lambda a, b=[]: 0))
    assert plans.plan({"a": 1}, False) is plans.plan(["a"], False)
    assert plans.plan({"a": 1}, False) is not plans.plan({"b": 1}, True)


KINDS = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.VAR_KEYWORD,
)
NAMES = ("a", "b", "c", "payload", "workflow_id")


@st.composite
def signatures(draw):
    names = draw(st.permutations(NAMES))[: draw(st.integers(0, 5))]
    kinds = sorted(draw(st.lists(st.sampled_from([KINDS[0], KINDS[1], KINDS[3]]), min_size=5, max_size=5)))
    parameters, optional = [], False
    for name, kind in zip(names, kinds, strict=False):
        has_default = draw(st.booleans())
        if kind is not inspect.Parameter.KEYWORD_ONLY:
            optional = has_default = has_default or optional
        default = "default" if has_default else inspect.Parameter.empty
        parameters.append(inspect.Parameter(name, kind, default=default))
    extra = [inspect.Parameter(name, kind) for name, kind in (("args", KINDS[2]), ("kwargs", KINDS[4]))]
    parameters += [parameter for parameter in extra if draw(st.booleans())]
    return inspect.Signature(sorted(parameters, key=lambda parameter: KINDS.index(parameter.kind)))


@given(signatures(), st.sets(st.sampled_from((*NAMES, "z"))), st.booleans())
def test_what_is_planned_can_be_called(signature, names, has_upstream):
    values = dict.fromkeys(names, "given")
    try:
        planned = plan(signature, frozenset(names), has_upstream)
    except ArgumentsError:
        return
    args, kwargs = planned.bind(given=values, payload="P", workflow_id="W", upstream="U" if has_upstream else None)
    called = callable_of(signature)(*args, **kwargs)
    flat = {**called, **called.pop("kwargs", {})}
    assert all(flat[name] == "given" for name in names if name in flat and name not in only_positional(signature))
    assert list(called.get("args", ())).count("U") + list(flat.values()).count("U") <= 1


def callable_of(signature):
    """A function that returns its arguments: ``Signature.bind`` is stricter than Python itself."""
    space: dict[str, object] = {}
    exec(f"def function{signature}: return locals()", space)
    return space["function"]


def only_positional(signature):
    return {name for name, parameter in signature.parameters.items() if parameter.kind is KINDS[0]}
