"""The table of what people do: complete, and held against what it is made of."""

from __future__ import annotations

import django_director
from django_director import engine
from django_director.access.authorization import PERMISSIONS
from django_director.engine.history import PAST
from django_director.models import Run, Task, Workflow
from django_director.presentation.actions import ACTIONS


def test_each_operation_has_an_action_and_a_past_tense():
    assert list(ACTIONS) == list(PAST)
    assert set(ACTIONS) == set(django_director.__all__) - {"astart", "context", "task"}


def test_an_action_is_the_operation_of_its_name():
    for verb, action in ACTIONS.items():
        assert action.operation.__name__ == verb
        assert action.operation is getattr(engine, verb) or verb == "start"


def test_an_action_asks_for_a_permission_there_is():
    assert {action.permission for action in ACTIONS.values()} <= {*PERMISSIONS, None}
    assert {verb for verb, action in ACTIONS.items() if action.permission is None} == {"approve", "reject"}


def test_what_is_done_to_which_rows():
    by_model = {
        model: [verb for verb, action in ACTIONS.items() if action.of is model] for model in (Workflow, Run)
    }
    assert by_model == {Workflow: ["start"], Run: ["cancel", "pause", "resume", "retry", "relaunch"]}
    assert {action.of for action in ACTIONS.values()} == {Workflow, Run, Task}
