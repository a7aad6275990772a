from __future__ import annotations

from django_director.management.base import Options
from django_director.management.output import number_of
from django_director.management.runs import WaitingRunCommand
from django_director.models import Run
from django_director.models.users import User


class Command(WaitingRunCommand):
    help = "Resume a paused run: its tasks start again."
    verb = "resume"

    def begin_run(self, run: Run, user: User, options: Options) -> Run:
        run = self.perform(run, user)
        self.print_done(run, "resumed run")
        return run

    def preview(self, run: Run, options: Options) -> None:
        self.out.line(f"{number_of(self.action.preview(run).queued, 'task')} would start")
