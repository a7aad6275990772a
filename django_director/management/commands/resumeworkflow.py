from __future__ import annotations

from typing import Any

from django_director import engine
from django_director.exceptions import Conflict
from django_director.management.base import VIA
from django_director.management.output import number_of
from django_director.management.runs import WaitingRunCommand
from django_director.models import Run


class Command(WaitingRunCommand):
    help = "Let a paused run go on."
    action = "cancel"

    def take_up(self, run: Run, user: Any, **options: Any) -> Run:
        run = engine.resume(run, user=user, via=VIA)
        self.done(run, "resumed run")
        return run

    def preview(self, run: Run, **options: Any) -> None:
        if run.shown_status != "paused":
            raise Conflict(f"run {run.pk} can't be resumed: it is {run.shown_status}")
        ready = run.tasks.steps().queued().count()
        self.out.line(f"{number_of(ready, 'task')} would start")
