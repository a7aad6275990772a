"""One place says which columns go with a status, and all that changes one asks there."""

from __future__ import annotations

import ast
import inspect

import pytest

from django_director.engine import transitions
from django_director.models import Task
from django_director.status import RUN_TRANSITIONS, TASK_TRANSITIONS

from .imports import modules, tree

READERS = {"filter", "exclude", "Q", "When"}
"""Calls in which the keyword `status` is a condition."""


@pytest.mark.parametrize(
    ("changes", "known"),
    [(transitions.TASK_CHANGES, TASK_TRANSITIONS), (transitions.RUN_CHANGES, RUN_TRANSITIONS)],
    ids=["tasks", "runs"],
)
def test_the_changes_are_the_transitions_that_there_are(changes, known):
    made = {pair for pairs in changes.values() for pair in pairs if pair[0] is not None}
    assert made == {(old, new) for old, news in known.items() for new in news}


def test_every_function_says_what_it_changes():
    functions = {
        name
        for name, found in inspect.getmembers(transitions, inspect.isfunction)
        if found.__module__ == transitions.__name__ and not name.startswith("_") and not name.endswith("_change")
    }
    assert functions == transitions.TASK_CHANGES.keys() | transitions.RUN_CHANGES.keys()


def test_every_function_is_used():
    used = {
        node.attr
        for name in modules()
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "transitions"
    }
    assert used == transitions.TASK_CHANGES.keys() | transitions.RUN_CHANGES.keys()


@pytest.mark.parametrize("name", sorted(modules().keys() - {"transitions"}))
def test_no_other_module_of_the_engine_writes_a_status(name):
    assert [ast.unparse(node) for node in ast.walk(tree(name)) if writes_status(node)] == []


def writes_status(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return called not in READERS and any(keyword.arg == "status" for keyword in node.keywords)
    if isinstance(node, ast.Dict):
        return any(isinstance(key, ast.Constant) and key.value == "status" for key in node.keys)
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Attribute) and target.attr == "status" for target in targets)


@pytest.mark.parametrize(
    "text", ["rows.update(status=x)", "Task(status=x)", "{'status': x}", "dict(status=x)", "row.status = x"]
)
def test_writing_a_status_is_noticed(text):
    assert any(map(writes_status, ast.walk(ast.parse(text))))


@pytest.mark.parametrize("text", ["rows.filter(status=x)", "rows.exclude(Q(status=x))", "row.status == x"])
def test_asking_for_a_status_is_no_writing(text):
    assert not any(map(writes_status, ast.walk(ast.parse(text))))


def test_a_reset_leaves_nothing_of_a_task_but_what_it_is():
    kept = {
        *("id", "run", "position", "step", "name", "queue", "map_index", "item", "is_hook", "generation"),
        *("sequence", "worker_key"),
    }
    columns = {field.name for field in Task._meta.concrete_fields} | {"decided_by_id"}
    assert columns - transitions.reset().keys() - kept == set()
