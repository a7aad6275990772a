"""The kinds of steps, held against what a worker does for each."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from django_director.definitions import KINDS, TRIGGER_RULES
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


def test_authors_of_workflows_read_of_every_kind_and_rule():
    page = (Path(__file__).parents[2] / "docs/reference/workflows-file.md").read_text()
    missing = [
        name for name, kind in KINDS.items() if f"{kind.marker}:" not in page and f"type: {name}" not in page
    ]
    missing += [name for name in TRIGGER_RULES if f"`{name}`" not in page]
    assert not missing


def test_a_rule_is_no_foreign_word_of_another():
    assert not {word for rule in TRIGGER_RULES.values() for word in rule.foreign_words} & set(TRIGGER_RULES)
