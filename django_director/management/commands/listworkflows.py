from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime

from django_director.drawing.text import one_line
from django_director.management.base import DirectorCommand, add_json_argument
from django_director.management.display import Json, parse_time
from django_director.management.output import Cell, Printer
from django_director.models import Workflow
from django_director.presentation.workflow_serializers import workflows_as_json

HEADERS = ("NAME", "SCHEDULE", "NEXT RUN", "LAST RUN", "STEPS")


class Command(DirectorCommand):
    help = "List the workflows with their schedule, next and last run, and steps."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_json_argument(parser)
        parser.add_argument("--all", action="store_true", help="also those that have left the files")

    def run_command(self, *, as_json: bool, all: bool, **options: object) -> None:
        workflows = workflows_as_json(Workflow.objects.all() if all else Workflow.objects.active())
        if as_json:
            self.out.json(workflows)
            return
        self.out.table(HEADERS, [_row(self.out, workflow) for workflow in workflows])
        if not workflows:
            self.inform("no workflows yet: “manage.py syncworkflows” stores what the files say")


def schedule_text(schedule: Json) -> str:
    """Return ``every 30 s`` or the crontab, with its time zone, and "off" for a schedule that is switched off."""
    text = f"every {schedule['value']} s" if schedule["kind"] == "interval" else str(schedule["value"])
    notes = [schedule["timezone"] or "", "" if schedule["enabled"] else "off"]
    return " ".join([text, *(f"({note})" for note in notes if note)])


def next_run(workflow: Json) -> datetime | None:
    """Return when the workflow runs next by its schedules; ``None`` if that is not known."""
    times = (parse_time(schedule["next_run_at"]) for schedule in workflow["schedules"])
    return min(filter(None, times), default=None)


def last_run_text(out: Printer, workflow: Json) -> str | None:
    """Return the status and the time of the last run; ``None`` if there was none."""
    run = workflow["last_run"]
    return f"{run['status']} {out.text(parse_time(run['created_at']))}" if run else None


def _row(out: Printer, workflow: Json) -> list[Cell]:
    return [
        workflow["name"] + ("" if workflow["is_active"] else " (inactive)"),
        ", ".join(map(schedule_text, workflow["schedules"])) or None,
        next_run(workflow),
        last_run_text(out, workflow),
        one_line(workflow["steps"]),
    ]
