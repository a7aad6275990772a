"""The engine against a reference interpreter: random workflows, any order of events, always the same statuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_director.definitions import ApprovalStep, Definition
from django_director.models import Run
from django_director.status import RunStatus
from tests.examples import examples
from tests.factories import child, definition, group
from tests.random_definitions import CHILD, definitions

from .lockstep import Lockstep

pytestmark = pytest.mark.django_db

CHILD_WAYS = ("success", "success", "failed", "canceled", "timeout")
TASK_WAYS = ("success", "success", "success", "failed")


class _Played(Lockstep):
    """Events that Hypothesis draws."""

    def __init__(self, definition: Definition, draw: Any) -> None:
        self.draw = draw
        super().__init__(definition)

    def choose(self, choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def play(self) -> None:
        """Until the run has an outcome."""
        while self.reference.outcome() is None:
            waiting = self.waiting
            choices = [*self.queued, *sorted(self.running), *waiting]
            assert choices, "the reference hangs"
            chosen = self.choose(choices)
            if chosen in self.running:
                self.end(chosen, self.choose(CHILD_WAYS if isinstance(self.running[chosen], Run) else TASK_WAYS))
            elif chosen in waiting:
                is_asked = isinstance(self.reference.steps[chosen], ApprovalStep)
                self.end_waiting(chosen, self.choose(["approve", "reject", "time"] if is_asked else ["time"]))
            else:
                self.start(chosen)

    def take_up(self) -> bool:
        """Let a run go on that has ended; says whether that was possible."""
        verb = self.choose(["retry", "rerun", "skip"])
        if verb == "retry":
            return self.retry()
        return bool(self.reference.rows) and self.steer(verb, self.choose(sorted(self.reference.known)))


def play(definition: Definition, data: Any) -> None:
    played = _Played(definition, data.draw)
    played.play()
    for _ in range(2):
        if played.take_up():
            played.play()


@given(definitions(), st.data())
@examples(45)
@pytest.mark.timeout(600)
def test_the_engine_does_what_the_reference_does(definition, data):
    play(definition, data)


@given(definitions(is_parent=True), st.data())
@examples(30)
@pytest.mark.timeout(600)
def test_and_with_child_runs(definition, data):
    play(definition, data)


def test_two_child_runs_of_which_one_fails_fast():
    played = Lockstep(
        definition("test.FAST", group("G", child("A", CHILD), child("B", CHILD), "C"), fail_fast=True)
    )
    played.start("A")
    played.start("B")
    played.end("A", "failed")
    assert played.reference.known == {"A": "failed", "B": "waiting", "C": "canceled"}
    played.end("B")
    assert played.run.status == RunStatus.FAILED
