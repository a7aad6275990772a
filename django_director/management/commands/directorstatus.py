from __future__ import annotations

import math
from argparse import ArgumentParser
from collections.abc import Iterator

from django_director.management.base import FAILED, DirectorCommand, add_json_argument
from django_director.management.output import number_of
from django_director.presentation import health
from django_director.schedules.enabled import Enabled


class Command(DirectorCommand):
    help = "Say whether all that runs need is alive, and what else is to know; exit 1 when something is wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_json_argument(parser)

    def run_command(self, *, as_json: bool, **options: object) -> None:
        found = health.for_programs(health.read_health(schedules=Enabled(math.inf)))
        if as_json:
            self.out.json(found)
        else:
            for name, text in _lines(found):
                self.out.line(f"{name:<11} {text}")
        if not found["healthy"]:
            raise SystemExit(FAILED)


def _lines(found: health.Json) -> Iterator[tuple[str, str]]:
    servers = found.get("servers") or {}
    version, address = (f" ({servers[name]})" if servers else "" for name in ("database", "broker"))
    yield "database", ("answers" if found["database"] else "does not answer as it should") + version
    yield "broker", ("answers" if found["broker"] else "does not answer") + address
    if found["database"]:
        yield from _of_rows(found)
    for problem in found["problems"]:
        yield "problem", problem
    for warning in found["warnings"]:
        yield "warning", warning


def _of_rows(found: health.Json) -> Iterator[tuple[str, str]]:
    supervisor, beat, oldest = found["supervisor"], found["beat"], found["oldest_queued"]
    yield "supervisor", _sign(supervisor) if supervisor else "none"
    if beat:
        yield "beat", _sign(beat)
    for worker in found["workers"]:
        yield "worker", _worker(worker)
    yield (
        "queues",
        f"the oldest task waits for {oldest['seconds']:g} s" if oldest else "no task waits for a worker",
    )
    for queue in found["queues"]:
        yield "queue", _backlog(queue)
    if found["unwritten"]:
        what = "outcomes and starts of tasks that wait for other database sessions"
        yield "locks", f"{what}: {found['unwritten']:,}"
    yield from _of_files(found)


def _of_files(found: health.Json) -> Iterator[tuple[str, str]]:
    files, retention = found["files"], found["retention"]
    if files is not None:
        state = "have problems" if files["problems"] else "are stored" if files["in_step"] else "are to be synced"
        yield "files", f"{', '.join(files['names'])}: {state}"
        for each in (*files["problems"], *files["changes"]):
            yield "file", each
    yield "retention", _rule(retention)


def _sign(sign: health.Json) -> str:
    return f"{sign['name']}, {sign['seconds']:g} s ago"


def _worker(worker: health.Json) -> str:
    lost = ", counts as lost" if worker["is_lost"] else ""
    takes = "" if worker["queues"] is None else f", takes from {', '.join(worker['queues'])}"
    versions = ", ".join(f"{name} {number}" for name, number in (worker["versions"] or {}).items())
    runs = f", runs {number_of(worker['running'], 'task')}"
    return f"{_sign(worker)}{lost}{runs}{takes}" + (f" ({versions})" if versions else "")


def _backlog(queue: health.Json) -> str:
    name, since = queue["name"] or "not known", f"since {queue['queued_at']}"
    lack = "" if queue["is_served"] else ", no worker takes from it"
    return f"{name}: {number_of(queue['tasks'], 'task')}, the oldest {since}{lack}"


def _rule(retention: health.Json) -> str:
    """Return which runs of workflows without a rule of their own are deleted, and when that was done last."""
    offset, days, at = retention["offset"], retention["days"], retention["cleaned_at"]
    parts = [f"all but the last {offset:,} of a workflow"] if offset is not None and offset >= 0 else []
    parts += [f"those older than {days:g} days"] if days is not None else []
    rule = f"of finished runs {' and '.join(parts)} are deleted" if parts else "all finished runs are kept"
    return f"{rule}, unless a workflow has a rule of its own; {f'last done {at}' if at else 'not done yet'}"
