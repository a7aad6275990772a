"""The engine against a reference interpreter: random workflows, any order of events, always the same statuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from django_director import engine, inputs, ownsteps
from django_director.definitions.model import ApprovalStep, Definition, MapStep, WorkflowStep
from django_director.engine import children, finish, stop, timeouts, timers
from django_director.engine.claim import Claim
from django_director.engine.finish import Failure
from django_director.exceptions import Conflict
from django_director.models import Run
from django_director.status import RunStatus
from tests.factories import definition as make_definition
from tests.factories import make_workflow
from tests.random_definitions import CHILD, PAYLOAD, definitions

from . import driver
from .reference_maps import MapReference

pytestmark = pytest.mark.django_db
PAST = "2026-01-01T00:00:00Z"


class _Lockstep:
    """Plays the same events to the engine and to the reference."""

    def __init__(self, definition: Definition, draw: Any) -> None:
        self.draw = draw
        make_workflow(definition)
        make_workflow(make_definition(CHILD, "X"))
        self.run: Run = engine.start(definition.name, PAYLOAD)
        self.reference = MapReference(definition, PAYLOAD)
        self.running: dict[str, Claim | Run] = {}

    def play(self) -> None:
        self.compare()
        while self.reference.outcome() is None:
            queued = sorted(id for id, status in self.reference.known.items() if status == "queued")
            waiting = sorted(id for id, status in self.reference.rows.items() if status == "waiting")
            waiting = [id for id in waiting if not isinstance(self.reference.steps[id], MapStep | WorkflowStep)]
            choices = [*queued, *sorted(self.running), *waiting]
            assert choices, "the reference hangs"
            chosen = self.draw(st.sampled_from(choices))
            if chosen in self.running:
                self.finish(chosen)
            elif chosen in waiting:
                self.end_waiting(chosen)
            else:
                self.start(chosen)
            if self.run_row().stop:
                stop.carry_on(self.run.pk)
            self.compare()

    def start(self, id: str) -> None:
        if id in self.reference.places:
            self.start_item(id)
            return
        claimed = driver.claim(self.run, id)
        step = self.reference.steps[id]
        if not claimed.node.is_head:
            assert claimed.upstream == self.reference.received(step)
        if not inputs.judge(claimed):
            assert finish.skip(claimed, "when")
        elif claimed.node.is_head:
            assert finish.finish(claimed, True)
        elif claimed.node.kind == "workflow":
            assert ownsteps.perform(claimed) is ownsteps.HELD
            self.running[id] = driver.child_of(self.run, id)
        elif claimed.node.kind == "map":
            driver.end(claimed, lambda _: None)
        elif claimed.node.passes_on:
            assert ownsteps.perform(claimed) is ownsteps.HELD
        else:
            self.running[id] = claimed
            for value in inputs.given(claimed).values():
                assert value == self.reference.value(self.reference.steps[step.needs[0]])
        self.reference.start(id)

    def start_item(self, id: str) -> None:
        place = self.reference.places[id]
        claimed = driver.claim(self.run, place.step.id, place.index)
        assert claimed.upstream == self.reference.item_received(id)
        if inputs.judge(claimed):
            self.running[id] = claimed
        else:
            assert finish.skip(claimed, "when")
        self.reference.start(id)

    def finish(self, id: str) -> None:
        claimed = self.running.pop(id)
        if isinstance(claimed, Run):
            self.finish_child(id, claimed)
        elif self.draw(st.integers(0, 3)) == 3:
            assert finish.fail(claimed, Failure(error="ValueError: drawn"))
            self.reference.end(id, "failed")
        else:
            assert finish.finish(claimed, f"result of {id}")
            self.reference.end(id, "success")

    def finish_child(self, id: str, child: Run) -> None:
        """Let a child run end, in one of the ways there are, and tell its step."""
        way = self.draw(st.sampled_from(["success", "success", "failed", "canceled", "timeout"]))
        if way == "success":
            driver.succeed(child, "X", f"result of {id}")
        elif way == "failed":
            driver.fail(child, "X")
        elif way == "canceled":
            engine.cancel(child)
        else:
            Run.objects.filter(pk=child.pk).update(deadline_at=PAST)
            assert timeouts.stop_overdue_runs() == 1
        stop.carry_on(child.pk)
        # A step whose time was up does not wait for the end.
        assert children.report(child.pk) == (way != "timeout")
        assert not Run.objects.filter(is_awaited=True, pk=child.pk).exists()
        self.reference.end(id, "success" if way == "success" else "failed")

    def end_waiting(self, id: str) -> None:
        task, step = self.run.tasks.get(step=id), self.reference.steps[id]
        ways = ["approve", "reject", "time"] if isinstance(step, ApprovalStep) else ["time"]
        way = self.draw(st.sampled_from(ways))
        if way == "time":
            self.run.tasks.filter(step=id).update(deadline_at=PAST)
            assert timers.fire() == 1
            way = step.on_timeout if isinstance(step, ApprovalStep) else "approve"
        else:
            assert (engine.approve if way == "approve" else engine.reject)(task).is_finished
        self.reference.end(id, {"approve": "success", "reject": "failed", "skip": "skipped"}[way])

    def steer(self) -> bool:
        """Take up a run that has ended; says whether that was possible."""
        verb = self.draw(st.sampled_from(["retry", "rerun", "skip"]))
        if verb == "retry":
            if self.run.status != RunStatus.FAILED:
                return False
            engine.retry(self.run)
            self.reference.retry()
            return True
        if not self.reference.rows:
            return False
        id = self.draw(st.sampled_from(sorted(self.reference.known)))
        place = self.reference.places.get(id)
        step, index = (id, -1) if place is None else (place.step.id, place.index)
        is_possible = getattr(self.reference, verb)(id)
        task = self.run.tasks.select_related("run__version").get(step=step, map_index=index)
        try:
            getattr(engine, verb)(task)
        except Conflict:
            assert not is_possible, f"{verb} of {id} was refused"
            return False
        assert is_possible, f"{verb} of {id} was not refused"
        return True

    def run_row(self) -> Run:
        self.run.refresh_from_db()
        return self.run

    def compare(self) -> None:
        run = self.run_row()
        assert driver.statuses(run) == self.reference.known
        made = Run.objects.filter(parent_task__run=run).values_list("parent_task__step", "generation")
        assert sorted(made) == sorted((id, n) for id, runs in self.reference.children.items() for n in runs)
        outcome = self.reference.outcome()
        assert run.status == (outcome or RunStatus.RUNNING)
        assert bool(run.stop) == self.reference.is_stopped
        if not run.stop:
            driver.check_gates(run)
        if run.status == RunStatus.SUCCESS:
            assert run.result == self.reference.value(self.reference.root)


@given(definitions(), st.data())
@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
@pytest.mark.timeout(600)
def test_the_engine_does_what_the_reference_does(definition, data):
    play(definition, data)


@given(definitions(is_parent=True), st.data())
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
@pytest.mark.timeout(600)
def test_and_with_child_runs(definition, data):
    play(definition, data)


def play(definition: Definition, data: Any) -> None:
    played = _Lockstep(definition, data.draw)
    played.play()
    for _ in range(2):
        if played.steer():
            played.play()
