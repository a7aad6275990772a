from __future__ import annotations

from typing import Any

from django_director import engine
from django_director.management.base import VIA
from django_director.management.runs import WaitingRunCommand
from django_director.management.tasks import show_preview
from django_director.models import Run


class Command(WaitingRunCommand):
    help = "Run the failed tasks of a finished run again, and everything downstream of them."
    action = "retry"

    def take_up(self, run: Run, user: Any, **options: Any) -> Run:
        run = engine.retry(run, user=user, via=VIA)
        self.done(run, "retrying run")
        return run

    def preview(self, run: Run, **options: Any) -> None:
        show_preview(self, engine.preview_retry(run))
