"""Makes frozen steps of drafts that have their ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django_director.definitions.checks.batches import find_problem
from django_director.definitions.definition import Step, TaskStep
from django_director.definitions.fields.drafts import Draft
from django_director.definitions.kinds import KINDS
from django_director.definitions.source import codes
from django_director.definitions.source.report import Report

from .policies import Defaults
from .queue_rules import Queues


@dataclass(frozen=True, slots=True)
class Freezer:
    """Makes steps of drafts. What a step does not say itself, it takes from its workflow."""

    queues: Queues
    defaults: Defaults
    report: Report

    def steps(self, drafts: Iterable[Draft]) -> tuple[Step, ...]:
        """Make the steps of some drafts."""
        return tuple(map(self.step, drafts))

    def tasks(self, drafts: Iterable[Draft]) -> tuple[TaskStep, ...]:
        """Make the Celery tasks of drafts that are all of this kind."""
        return tuple(step for step in map(self.step, drafts) if isinstance(step, TaskStep))

    def step(self, draft: Draft) -> Step:
        """Make the step of a draft, with all that stands in it."""
        common = self.common(draft)
        if draft.kind == "task":
            self.defaults.fill(draft)
            common["queue"] = common["queue"] or self.defaults.queue
        made: Step = KINDS[draft.kind].freeze(draft, common, self.step)
        if made.batch is not None:
            self._check_batch(made, draft)
        return made

    def _check_batch(self, step: Step, draft: Draft) -> None:
        problem = find_problem(step)
        if problem is not None:
            self.report.inside(step=step.id).error(codes.BATCH, draft.node, problem.message, problem.hint)

    def common(self, draft: Draft) -> dict[str, Any]:
        """Return the fields that steps of all kinds have."""
        has_queue = not draft.is_container or draft.is_conditional
        return {
            "id": draft.id,
            "needs": None if draft.needs is None else tuple(name for name, _ in draft.needs),
            "when": draft.when,
            "trigger_rule": draft.trigger_rule,
            "description": draft.description,
            "queue": self.queues.queue_for(draft) if has_queue else None,
            "place": self.report.place(draft.node),
        }
