from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_director import engine
from django_director.access.authorization import needed_for, to_decide
from django_director.definitions import ApprovalStep
from django_director.management.base import VIA
from django_director.management.tasks import TaskCommand
from django_director.models import Task
from django_director.presentation.lookups import find_task


class Command(TaskCommand):
    help = "Approve a step that waits for somebody, or reject it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reject", action="store_true", help="say no: the step fails")
        parser.add_argument("--comment", default="", metavar="TEXT", help="why; kept with the decision")
        super().add_arguments(parser)

    def run_command(
        self, *, task: str, reject: bool, comment: str, dry_run: bool, user: str | None, **options: Any
    ) -> None:
        found = find_task(task)
        actor = self.act_as(user, to_decide(found), found.run.workflow)
        if dry_run:
            self._preview(found, reject)
            return
        found = (engine.reject if reject else engine.approve)(found, user=actor, via=VIA, comment=comment)
        what = "Rejected" if reject else "Approved"
        self.done(found.run, f"{what.lower()} “{found.label}” of run")

    def _preview(self, task: Task, reject: bool) -> None:
        engine.check_waits(task, "rejected" if reject else "approved")
        step = task.run.version.graph.node(task.position).step
        assert isinstance(step, ApprovalStep)
        fields: list[tuple[str, Any]] = [
            ("prompt", step.prompt or None),
            ("asked", task.asked_at),
            ("until", task.deadline_at),
            ("then", step.on_timeout if task.deadline_at else None),
            ("who may", needed_for(to_decide(task), task.run.workflow)),
        ]
        self.out.fields(fields)
        fate = "would be rejected, and fail" if reject else "would be approved, and the run go on"
        self.out.line(f"“{task.label}” {fate}")
