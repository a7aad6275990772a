from __future__ import annotations

from typing import Any

from django_director.management.output import number_of
from django_director.management.runs import WaitingRunCommand
from django_director.models import Run


class Command(WaitingRunCommand):
    help = "Let a paused run go on."
    verb = "resume"

    def take_up(self, run: Run, user: Any, **options: Any) -> Run:
        run = self.perform(run, user)
        self.done(run, "resumed run")
        return run

    def preview(self, run: Run, **options: Any) -> None:
        self.out.line(f"{number_of(self.action.preview(run).queued, 'task')} would start")
