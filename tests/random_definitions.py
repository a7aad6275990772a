"""Random definitions that use all that the engine knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from django_director.definitions import (
    ON_TIMEOUT,
    RULES,
    ApprovalStep,
    Container,
    Definition,
    MapStep,
    Step,
    TaskStep,
    WaitStep,
    WorkflowStep,
)

MAX_STEPS = 12
CHILD = "test.CHILD"
"""The workflow of every step that is one; it has the task ``X``."""
PAYLOAD = {"yes": True, "no": False}
SEEN = ("success", "failed", "skipped", "upstream_failed")


class _Maker:
    """Makes definitions whose `needs` point backwards: without cycles, also with groups shuffled afterwards."""

    def __init__(self, draw: Any, *, is_parent: bool) -> None:
        self.draw = draw
        self.is_parent = is_parent
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
        elif self.is_parent and self.chance(40):
            made = self.child(id, options)
        elif not self.is_parent and self.chance(20):
            made = self.map(id, options)
        elif self.chance(10):
            made = WaitStep(id=id, seconds=60, **options)
        elif self.chance(10):
            on_timeout = self.draw(st.sampled_from(ON_TIMEOUT))
            made = ApprovalStep(id=id, timeout=60, on_timeout=on_timeout, **options)
        else:
            forgiven, kwargs = self.chance(15), self.seen(options)
            made = TaskStep(id=id, task=id, continue_on_error=forgiven, kwargs=kwargs, **options)
        self.done.append(made)
        return made

    def seen(self, options: dict[str, Any]) -> dict[str, Any]:
        """An expression that uses what a step needs."""
        needs = options["needs"]
        return {"seen": f'${{{{ tasks["{needs[0]}"].result }}}}'} if needs else {}

    def child(self, id: str, options: dict[str, Any]) -> WorkflowStep:
        return WorkflowStep(id=id, workflow=CHILD, payload=self.seen(options), timeout=3600, **options)

    def map(self, id: str, options: dict[str, Any]) -> MapStep:
        names = self.draw(st.sampled_from(([id], [f"{id}a", f"{id}b"], [f"{id}a", f"{id}b", f"{id}c"])))
        body = [
            TaskStep(
                id=name,
                task=name,
                when=self.draw(st.sampled_from(("payload.yes", "index > 0", False))) if self.chance(25) else None,
                trigger_rule=self.draw(st.sampled_from(RULES)) if self.chance(30) else RULES[0],
                continue_on_error=self.chance(15),
            )
            for name in names
        ]
        over = [f"item {n}" for n in range(self.draw(st.integers(0, 4)))]
        parallel = self.draw(st.sampled_from((None, 1, 2)))
        # With `max_parallel` more items are queued than the reference knows of: `machine` has such maps.
        batch = self.draw(st.sampled_from((None, 2, 3))) if len(body) == 1 and parallel is None else None
        return MapStep(id=id, over=over, body=tuple(body), max_parallel=parallel, batch=batch, **options)

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
def definitions(draw: Any, *, is_parent: bool = False) -> Definition:
    """Any definition; that of a parent has child runs in the place of maps."""
    maker = _Maker(draw, is_parent=is_parent)
    tasks = maker.shuffled(maker.steps(3))
    return Definition(name="test.RANDOM", tasks=tasks, fail_fast=maker.chance(35))
