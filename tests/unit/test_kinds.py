"""The kinds of steps, held against what a worker does for each."""

from __future__ import annotations

from dataclasses import fields

import pytest

from django_director.definitions import KINDS
from django_director.worker import own_steps


def test_a_worker_can_do_every_kind():
    # A Celery task is the user's code; a chain with a condition has the head of a group.
    assert set(KINDS) - {"task", "chain"} == own_steps.KINDS


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_kind_is_whole(kind):
    assert kind.name == KINDS[kind.name].name
    assert {"description", "needs", "when", "trigger_rule", kind.marker} <= set(kind.keys)
    assert kind.step.__dataclass_params__.frozen
    assert {"id", "needs", "when"} < {part.name for part in fields(kind.step)}
