from __future__ import annotations

from django_director.management.base import Options
from django_director.management.output import number_of
from django_director.management.runs import RunCommand
from django_director.models import Run
from django_director.models.users import User


class Command(RunCommand):
    help = "Pause a run: none of its tasks starts until it is resumed; those that run are not stopped."
    verb = "pause"

    def act(self, run: Run, user: User, options: Options) -> None:
        run = self.perform(run, user)
        self.print_done(run, "paused run")

    def preview(self, run: Run, options: Options) -> None:
        found = self.action.preview(run)
        unstarted = found.unstarted - found.waiting
        self.out.line(f"{number_of(unstarted, 'task')} would not start until the run is resumed")
        if found.waiting:
            self.out.line(f"{number_of(found.waiting, 'waiting task')} would keep waiting")
        self.out.line(f"{number_of(found.running, 'running task')} would run to the end")
