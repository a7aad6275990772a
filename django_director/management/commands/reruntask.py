from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_director import engine
from django_director.management.base import VIA
from django_director.management.outcome import add_wait_arguments, check_wait_arguments, wait_for_outcome
from django_director.management.tasks import TaskCommand, show_preview
from django_director.presentation.lookups import find_task


class Command(TaskCommand):
    help = "Run a task of a finished run again, and everything downstream of it; the rest is kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_wait_arguments(parser)
        super().add_arguments(parser)

    def run_command(self, *, task: str, dry_run: bool, user: str | None, **options: Any) -> None:
        check_wait_arguments(options["wait"], options["timeout"])
        found = find_task(task)
        actor = self.act_as(user, "retry", found.run.workflow)
        if dry_run:
            show_preview(self, engine.preview_rerun(found))
            return
        found = engine.rerun(found, user=actor, via=VIA)
        self.done(found.run, f"rerunning {found.label} of run")
        if options["wait"]:
            wait_for_outcome(self, found.run, options["timeout"])
