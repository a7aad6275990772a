from __future__ import annotations

from argparse import ArgumentParser

from django_director.management.base import FAILED, DirectorCommand, add_json_argument
from django_director.management.output import number_of
from django_director.presentation import health


class Command(DirectorCommand):
    help = "Say whether database, broker, supervisor and workers are there; exit 1 when something is wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_json_argument(parser)

    def run_command(self, *, as_json: bool, **options: object) -> None:
        found = health.read_health()
        if as_json:
            self.out.json(found)
        else:
            self._show(found)
        if not found["healthy"]:
            raise SystemExit(FAILED)

    def _show(self, found: health.Json) -> None:
        self.out.line(f"database    {'answers' if found['database'] else 'does not answer as it should'}")
        self.out.line(f"broker      {'answers' if found['broker'] else 'does not answer'}")
        if found["database"]:
            self._show_rows(found)
        for problem in found["problems"]:
            self.out.line(f"problem     {problem}")

    def _show_rows(self, found: health.Json) -> None:
        supervisor, oldest = found["supervisor"], found["oldest_queued"]
        seen = f"{supervisor['name']}, {supervisor['seconds']:g} s ago" if supervisor else "none"
        self.out.line(f"supervisor  {seen}")
        for worker in found["workers"]:
            lost = ", counts as lost" if health.is_silent(worker) else ""
            takes = "" if worker["queues"] is None else f", takes from {', '.join(worker['queues'])}"
            self.out.line(f"worker      {worker['name']}, {worker['seconds']:g} s ago{lost}{takes}")
        waits = f"the oldest task waits for {oldest['seconds']:g} s" if oldest else "no task waits for a worker"
        self.out.line(f"queues      {waits}")
        for queue in found["queues"]:
            self.out.line(f"queue       {_backlog(queue)}")
        if found["unwritten"]:
            what = "outcomes and starts of tasks that wait for other database sessions"
            self.out.line(f"locks       {what}: {found['unwritten']:,}")


def _backlog(queue: health.Json) -> str:
    name, since = queue["name"] or "not known", f"since {queue['queued_at']}"
    lack = "" if queue["is_served"] else ", no worker takes from it"
    return f"{name}: {number_of(queue['tasks'], 'task')}, the oldest {since}{lack}"
