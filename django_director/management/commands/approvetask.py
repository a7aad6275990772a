from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_director.access.authorization import needed_for
from django_director.common.languages import in_english
from django_director.definitions import ApprovalStep
from django_director.management.base import VIA
from django_director.management.tasks import TaskCommand
from django_director.models import Task
from django_director.presentation.actions import ACTIONS, Action
from django_director.presentation.lookups import find_task


class Command(TaskCommand):
    help = "Approve a step that waits for somebody, or reject it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reject", action="store_true", help="say no: the step fails")
        parser.add_argument("--comment", default="", metavar="TEXT", help="why; kept with the decision")
        super().add_arguments(parser)

    def run_command(
        self, *, task: str, reject: bool, comment: str, dry_run: bool, user: str | None, **options: object
    ) -> None:
        found = find_task(task)
        action = ACTIONS["reject" if reject else "approve"]
        actor = self.act_as(user, action, found)
        if dry_run:
            self._preview(found, action, reject)
            return
        found = action.operation(found, user=actor, via=VIA, comment=comment)
        self.print_done(found.run, f"{action.done.lower()} “{found.label}” of run")

    def _preview(self, task: Task, action: Action, reject: bool) -> None:
        action.preview(task)
        step = task.run.version.graph.node(task.position).step
        assert isinstance(step, ApprovalStep)
        fields: list[tuple[str, Any]] = [
            ("prompt", step.prompt or None),
            ("asked", task.asked_at),
            ("until", task.deadline_at),
            ("then", step.on_timeout if task.deadline_at else None),
            ("who may", in_english(needed_for, action.asks_for(task), task.run.workflow)),
        ]
        self.out.fields(fields)
        approved = "would be approved, and what comes after it would start"
        self.out.line(f"“{task.label}” {'would be rejected, and fail' if reject else approved}")
