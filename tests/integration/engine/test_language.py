"""The engine against a reference interpreter: random workflows, events in any order, the same statuses after each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from django_director import engine, worker
from django_director.definitions.model import RULES, Container, Definition, Step, TaskStep
from django_director.engine import finish, stop
from django_director.engine.claim import Claim
from django_director.engine.finish import Failure
from django_director.models import Run
from django_director.status import RunStatus
from tests.factories import make_workflow

from . import driver
from .reference import Reference

pytestmark = pytest.mark.django_db

MAX_STEPS = 12
PAYLOAD = {"yes": True, "no": False}
SEEN = ("success", "failed", "skipped", "upstream_failed")


class _Maker:
    """Makes a definition whose `needs` point backwards, which can have no cycle; groups are shuffled afterwards."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.number = 0
        self.done: list[Step] = []
        """What may be needed: entries that are complete, so nothing around the present one."""

    def chance(self, percent: int) -> bool:
        return self.draw(st.integers(0, 99)) >= 100 - percent

    def steps(self, depth: int) -> tuple[Step, ...]:
        return tuple(self.step(depth) for _ in range(self.draw(st.integers(0 if depth < 3 else 1, 3))))

    def step(self, depth: int) -> Step:
        self.number += 1
        id = f"s{self.number}"
        options = self.options()
        made: Step
        if depth and self.number < MAX_STEPS and self.chance(45):
            kind = self.draw(st.sampled_from(("group", "chain")))
            made = Container(id=id, kind=kind, members=self.steps(depth - 1), **options)
        else:
            kwargs = {}
            if options["needs"]:
                kwargs = {"seen": f'${{{{ tasks["{options["needs"][0]}"].result }}}}'}
            made = TaskStep(id=id, task=id, continue_on_error=self.chance(15), kwargs=kwargs, **options)
        self.done.append(made)
        return made

    def options(self) -> dict[str, Any]:
        needs, when = None, None
        if self.chance(25):
            known = [step.id for step in self.done]
            needs = tuple(self.draw(st.lists(st.sampled_from(known), max_size=3, unique=True))) if known else ()
        if self.chance(20):
            when = self.draw(st.sampled_from(("payload.yes", "payload.no", False)))
            if needs:
                when = f'tasks["{needs[0]}"].status == "{self.draw(st.sampled_from(SEEN))}"'
        rule = self.draw(st.sampled_from(RULES)) if self.chance(30) else RULES[0]
        return {"needs": needs, "when": when, "trigger_rule": rule}

    def shuffled(self, steps: tuple[Step, ...], *, is_chain: bool = True) -> tuple[Step, ...]:
        """Members of a group have no order, so what is needed may as well stand behind."""
        made = tuple(
            replace(step, members=self.shuffled(step.members, is_chain=step.kind == "chain"))
            if isinstance(step, Container)
            else step
            for step in steps
        )
        return made if is_chain else tuple(self.draw(st.permutations(made)))


@st.composite
def definitions(draw: Any) -> Definition:
    maker = _Maker(draw)
    tasks = maker.shuffled(maker.steps(3))
    return Definition(name="test.RANDOM", tasks=tasks, fail_fast=maker.chance(25))


class _Lockstep:
    """Plays the same events to the engine and to the reference."""

    def __init__(self, definition: Definition, draw: Any) -> None:
        self.draw = draw
        make_workflow(definition)
        self.run: Run = engine.start(definition.name, PAYLOAD)
        self.reference = Reference(definition, PAYLOAD)
        self.running: dict[str, Claim] = {}

    def play(self) -> None:
        self.compare()
        while self.reference.outcome() is None:
            queued = sorted(id for id, status in self.reference.rows.items() if status == "queued")
            choices = [*queued, *sorted(self.running)]
            assert choices, "the reference hangs"
            chosen = self.draw(st.sampled_from(choices))
            if chosen in self.running:
                self.finish(chosen)
            else:
                self.start(chosen)
            if self.run_row().stop:
                stop.carry_on(self.run.pk)
            self.compare()

    def start(self, id: str) -> None:
        claimed = driver.claim(self.run, id)
        step = self.reference.steps[id]
        if not claimed.node.is_head:
            assert claimed.upstream == self.reference.received(step)
        if not worker.judge(claimed):
            assert finish.skip(claimed, "when")
        elif claimed.node.is_head:
            assert finish.finish(claimed, True)
        else:
            self.running[id] = claimed
            for value in worker.given(claimed).values():
                assert value == self.reference.value(self.reference.steps[step.needs[0]])
        self.reference.start(id)

    def finish(self, id: str) -> None:
        claimed = self.running.pop(id)
        if self.draw(st.integers(0, 3)) == 3:
            assert finish.fail(claimed, Failure(error="ValueError: drawn"))
            self.reference.end(id, "failed")
        else:
            assert finish.finish(claimed, f"result of {id}")
            self.reference.end(id, "success")

    def run_row(self) -> Run:
        self.run.refresh_from_db()
        return self.run

    def compare(self) -> None:
        run = self.run_row()
        assert driver.statuses(run) == self.reference.rows
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
    played = _Lockstep(definition, data.draw)
    played.play()
    if played.run.status == RunStatus.FAILED:
        engine.retry(played.run)
        played.reference.retry()
        played.play()
