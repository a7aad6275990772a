"""What the commands share that do something with one task."""

from __future__ import annotations

from argparse import ArgumentParser

from django_director.engine import Preview

from .base import ActingCommand, add_dry_run_argument
from .output import number_of

HEADERS = ("TASK", "STATUS NOW", "WOULD")


class TaskCommand(ActingCommand):
    """A command with one TASK, which ``--dry-run`` previews."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("task", metavar="TASK", help="the task's id, or RUN:STEP, in a map RUN:STEP:INDEX")
        add_dry_run_argument(parser)
        super().add_arguments(parser)


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
