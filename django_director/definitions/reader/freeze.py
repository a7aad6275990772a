"""Drafts with ids to the steps of ``model``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django_director.definitions.model import (
    ApprovalStep,
    Container,
    MapStep,
    Step,
    TaskStep,
    WaitStep,
    WorkflowStep,
)
from django_director.definitions.source.report import Report

from .drafts import Draft
from .policies import Defaults
from .queues import Queues


@dataclass(frozen=True, slots=True)
class Freezer:
    """What a step does not say itself, it takes from its workflow."""

    queues: Queues
    defaults: Defaults
    report: Report

    def steps(self, drafts: list[Draft]) -> tuple[Step, ...]:
        return tuple(map(self.step, drafts))

    def step(self, draft: Draft) -> Step:
        match draft.kind:
            case "task":
                return self.task(draft)
            case "group" | "chain":
                return Container(**self.common(draft), kind=draft.kind, members=self.steps(draft.members))
            case "map":
                return MapStep(**self.common(draft), body=tuple(map(self.task, draft.members)), **draft.own)
            case "workflow":
                return WorkflowStep(**self.common(draft), **draft.own)
            case "approval":
                return ApprovalStep(**self.common(draft), **draft.own)
            case "wait":
                return WaitStep(**self.common(draft), **draft.own)

    def task(self, draft: Draft) -> TaskStep:
        defaults = self.defaults
        common = self.common(draft)
        return TaskStep(
            **common | {"queue": common["queue"] or defaults.queue},
            task=draft.task,
            kwargs=draft.kwargs,
            retry=draft.retry or defaults.retry,
            timeout=defaults.timeout if draft.timeout is None else draft.timeout,
            priority=defaults.priority if draft.priority is None else draft.priority,
            continue_on_error=draft.continue_on_error or False,
        )

    def common(self, draft: Draft) -> dict[str, Any]:
        has_queue = not draft.is_container or draft.is_conditional
        return {
            "id": draft.id,
            "needs": None if draft.needs is None else tuple(name for name, _ in draft.needs),
            "when": draft.when,
            "trigger_rule": draft.trigger_rule,
            "description": draft.description,
            "queue": self.queues.of(draft) if has_queue else None,
            "place": self.report.place(draft.node),
        }
