"""The base classes of the commands that do something with one task."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, ClassVar

from django_director.engine import Preview
from django_director.models import Run
from django_director.presentation.actions import ACTIONS
from django_director.presentation.lookups import find_task

from . import display
from .base import VIA, ActingCommand, Options, add_dry_run_argument
from .outcome import add_wait_arguments, check_wait_arguments, wait_for_outcome
from .output import number_of

HEADERS = ("TASK", "STATUS NOW", "WOULD")


class TaskCommand(ActingCommand):
    """A command that does something with one task; with ``--dry-run`` it only prints what it would do."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("task", metavar="TASK", help="the task's id, or RUN:STEP, in a map RUN:STEP:INDEX")
        add_dry_run_argument(parser)
        super().add_arguments(parser)


class ResetCommand(TaskCommand):
    """A command that runs all steps after a task again; with ``--wait`` it waits for the outcome of the run."""

    verb: ClassVar[str]
    """The verb of its action in ``presentation.actions``."""
    doing: ClassVar[str] = ""
    """The word that is printed for the action, such as "rerunning"; without it the past tense of the verb."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_wait_arguments(parser)
        super().add_arguments(parser)

    def run_command(
        self, *, task: str, dry_run: bool, user: str | None, wait: bool, timeout: float | None, **options: object
    ) -> None:
        check_wait_arguments(wait, timeout)
        found, action = find_task(task), ACTIONS[self.verb]
        actor = self.act_as(user, action, found)
        if dry_run:
            show_preview(self, action.preview(found), found.run)
            return
        found = action.operation(found, user=actor, via=VIA, **self.operation_options(options))
        self.print_done(found.run, f"{self.doing or action.done.lower()} {found.label} of run")
        if wait:
            wait_for_outcome(self, found.run, timeout)

    def operation_options(self, options: Options) -> dict[str, Any]:
        """Return the options of the command that the operation takes."""
        return {}


def show_preview(command: ActingCommand, preview: Preview, run: Run) -> None:
    """Print what a reset would do with the first tasks of a run, and how many tasks there are of each kind."""
    rows = [(preview.skipped, "be skipped")] if preview.skipped else []
    rows += [(row, "run again") for row in preview.again] + [(row, "stay") for row in preview.stays]
    command.out.table(HEADERS, [(row.step, row.status, would) for row, would in rows])
    for line in _summarize(preview):
        command.inform(line)
    if told := display.name_relaunches(run):
        command.inform(f"the run was relaunched as {told}: what has run there would run again here")


def _summarize(preview: Preview) -> list[str]:
    lines = [f"{number_of(preview.runs, 'task')} would run again; kept: {preview.kept:,}"]
    if preview.idle:
        lines.append(f"{number_of(preview.idle, 'further task')}: decided anew, would not run as things stand")
    if preview.broken:
        lines.append(f"{number_of(preview.broken, 'failed task')} would stay: the run would fail again")
    return lines
