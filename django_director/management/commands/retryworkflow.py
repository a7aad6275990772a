from __future__ import annotations

from django_director.management.base import Options
from django_director.management.runs import WaitingRunCommand
from django_director.management.tasks import show_preview
from django_director.models import Run
from django_director.models.users import User


class Command(WaitingRunCommand):
    help = "Run the failed tasks of a finished run again, and everything downstream of them."
    verb = "retry"

    def begin_run(self, run: Run, user: User, options: Options) -> Run:
        run = self.perform(run, user)
        self.print_done(run, "retrying run")
        return run

    def preview(self, run: Run, options: Options) -> None:
        show_preview(self, self.action.preview(run), run)
