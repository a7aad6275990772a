from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_director import engine
from django_director.lookups import find_run
from django_director.management.base import ActingCommand, add_dry_run_argument
from django_director.management.output import number_of
from django_director.models import Run


class Command(ActingCommand):
    help = "Run the failed tasks of a finished run again, and everything downstream of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", help="the run's id, or its first digits")
        add_dry_run_argument(parser)
        super().add_arguments(parser)

    def run_command(self, *, run: str, dry_run: bool, user: str | None, **options: Any) -> None:
        found = find_run(run)
        actor = self.act_as(user, "retry", found.workflow)
        if dry_run:
            self._preview(found)
            return
        found = engine.retry(found, user=actor)
        self.note(actor, found, "Retried")
        self.done(found, "retrying run")

    def _preview(self, run: Run) -> None:
        preview = engine.preview_retry(run)
        self.out.table(("RUNS AGAIN", "STATUS NOW"), [(step, status) for _, step, status in preview.again])
        self.talk(f"{number_of(preview.runs, 'task')} would run again; kept: {preview.kept:,}")
