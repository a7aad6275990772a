from __future__ import annotations

from argparse import ArgumentParser

from django_director.management.base import Options
from django_director.management.output import number_of
from django_director.management.runs import RunCommand
from django_director.models import Run
from django_director.models.users import User


class Command(RunCommand):
    help = "Cancel a run: nothing of it starts any more; what runs is let end."
    verb = "cancel"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--force", action="store_true", help="end running tasks too")

    def act(self, run: Run, user: User, options: Options) -> None:
        run = self.perform(run, user, force=options["force"])
        self.print_done(run, "canceled run" if run.is_finished else "canceling run")
        if not run.is_finished:
            self.inform(f"let end: {number_of(run.tasks.running().count(), 'running task')}; --force ends them")

    def preview(self, run: Run, options: Options) -> None:
        found = self.action.preview(run)
        self.out.line(f"{number_of(found.unstarted, 'task')} would not start")
        fate = "would be ended" if options["force"] else "would be let end"
        self.out.line(f"{number_of(found.running, 'running task')} {fate}")
        self.out.line(f"{number_of(found.ended, 'ended task')} would stay as is")
