"""What the commands share that do something with one task."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, ClassVar

from django_director.engine import Preview
from django_director.presentation.actions import ACTIONS
from django_director.presentation.lookups import find_task

from .base import VIA, ActingCommand, Options, add_dry_run_argument
from .outcome import add_wait_arguments, check_wait_arguments, wait_for_outcome
from .output import number_of

HEADERS = ("TASK", "STATUS NOW", "WOULD")


class TaskCommand(ActingCommand):
    """A command that does something with one TASK, which ``--dry-run`` previews."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("task", metavar="TASK", help="the task's id, or RUN:STEP, in a map RUN:STEP:INDEX")
        add_dry_run_argument(parser)
        super().add_arguments(parser)


class ResetCommand(TaskCommand):
    """A command that runs what comes after one TASK again; ``--wait`` waits for the outcome."""

    verb: ClassVar[str]
    """Of the action, in ``presentation.actions``."""
    doing: ClassVar[str] = ""
    """What is said of it, if not the past tense: "rerunning"."""

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
            show_preview(self, action.preview(found))
            return
        found = action.operation(found, user=actor, via=VIA, **self.given(options))
        self.done(found.run, f"{self.doing or action.done.lower()} {found.label} of run")
        if wait:
            wait_for_outcome(self, found.run, timeout)

    def given(self, options: Options) -> dict[str, Any]:
        """Which of the options the operation takes."""
        return {}


def show_preview(command: ActingCommand, preview: Preview) -> None:
    """What a reset would do with which tasks; the first of many, and how many there are."""
    rows = [(preview.skipped, "be skipped")] if preview.skipped else []
    rows += [(row, "run again") for row in preview.again] + [(row, "stay") for row in preview.stays]
    command.out.table(HEADERS, [(row.step, row.status, would) for row, would in rows])
    for line in _said(preview):
        command.talk(line)


def _said(preview: Preview) -> list[str]:
    lines = [f"{number_of(preview.runs, 'task')} would run again; kept: {preview.kept:,}"]
    if preview.idle:
        lines.append(f"{number_of(preview.idle, 'task')} would be judged again and not run")
    if preview.broken:
        lines.append(f"{number_of(preview.broken, 'failed task')} would stay: the run would fail again")
    return lines
