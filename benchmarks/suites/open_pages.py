"""What pages cost that stay open and ask for changes, in a database with many runs."""

from __future__ import annotations

import base64
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import crowd
from benchmarks.places import Places
from benchmarks.report import Outcome, ms
from benchmarks.suites import pages

ROUNDS: Final = 50
PAGES: Final = 1_000
CALM: Final = 5
"""So many times as long is the pause while nothing changes, see `live.js`."""


def run(places: Places, repeat: int) -> Outcome:
    """Ask for changes of each kind of page, while there are some and while there is none, in this process."""
    outcome = Outcome()
    if not places.database.startswith("postgres"):
        print("open_pages: left out, its rows are made by PostgreSQL", file=sys.stderr)
        return outcome
    crowd.fill(places.finished)
    client = pages._client()
    rows = []
    for title, (address, pause, change) in _pages().items():
        size, queries = _size(client, address), _queries(client, address)
        changed = _cost(client, address, change)
        same = _cost(client, address, None)
        busy = f"{PAGES / pause * sum(changed):.1f}"
        calm = f"{PAGES / pause / CALM * sum(same):.2f}"
        rows.append([title, *map(ms, (*same, *changed)), str(queries), f"{size / 1000:.0f}", calm, busy])
        outcome.figures[f"open_pages.{title}.same_ms"] = sum(same) * 1000
    head = ["", "304: web ms", "database", "200: web ms", "database", "queries of a 304", "200: kB"]
    head += [f"processors for {PAGES:,}, calm", "all changing"]
    outcome.table(f"Pages that stay open, with {places.finished:,} runs", head, rows)
    return outcome


def _pages() -> dict[str, tuple[str, int, Callable[[], object]]]:
    """Return by title: the address, the seconds between two questions, and what changes the page."""
    from django.urls import reverse

    from django_director.db.functions import Now
    from django_director.models import Run, Task

    large, small = _run_of(1_000), _run_of(20)
    for _ in range(20):
        _run_of(20)
    running = Task.objects.filter(run=small, status="running")
    numbers = iter(range(10**9))

    def report() -> None:
        running.update(progress={"done": next(numbers), "total": None, "message": "a shelf"})

    def report_large() -> None:
        Task.objects.filter(run=large, status="running").update(progress={"done": next(numbers), "total": None})

    def attempt() -> None:
        running.update(sequence=next(numbers) + 1_000)

    def pause() -> None:
        Run.objects.filter(pk=small.pk).update(paused_at=Now())

    def page(name: str, *args: object) -> str:
        return reverse(f"admin:django_director_{name}", args=args)

    runs = _rows(Run.objects.order_by("-pk")[:50])
    tasks = _rows(Task.objects.filter(run=small)[:50])
    return {
        "run of 21 tasks": (page("run_live", small.pk), 2, report),
        "run of 1,001 tasks": (page("run_live", large.pk), 2, report_large),
        "timeline of 21 tasks": (page("run_live", small.pk) + "?tab=timeline", 2, report),
        "task": (page("task_live", running.get().pk), 2, report),
        "list of 50 runs": (page("run_list_live") + runs, 5, attempt),
        "list of 21 tasks": (page("task_list_live") + tasks, 5, attempt),
        "list of 25 workflows": (page("workflow_list_live"), 10, pause),
        "overview": (page("overview"), 10, report),
    }


def _run_of(steps: int) -> Any:
    """Make a run of which half the steps are done and one is running."""
    from tests import factories

    names = [f"STEP_{number}" for number in range(steps)]
    described = factories.definition(f"open.R{steps}", factories.group("G", *names), "END")
    tasks = dict.fromkeys(names[: steps // 2], "success") | {names[steps // 2]: "running"}
    return factories.make_run(factories.make_workflow(described), tasks=tasks)


def _rows(found: Any) -> str:
    """Return what a script adds to the address of a list to ask for these rows."""
    ids = found.values_list("pk", flat=True)
    return "?rows=" + ".".join(base64.urlsafe_b64encode(pk.bytes).decode().rstrip("=") for pk in ids)


def _size(client: Any, address: str) -> int:
    answer = client.get(address)
    if answer.status_code != 200:
        raise RuntimeError(f"{address}: {answer.status_code}")
    return len(answer.content)


def _queries(client: Any, address: str) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    while True:
        tag = client.get(address)["ETag"]
        with CaptureQueriesContext(connection) as caught:
            answer = client.get(address, headers={"if-none-match": tag})
        if answer.status_code == 304:
            return len(caught)


def _cost(client: Any, address: str, change: Callable[[], object] | None) -> tuple[float, float]:
    """Return the processor seconds of one answer: of this process, and of its connection to the database."""
    spent = []
    tag = client.get(address)["ETag"]
    wanted = 304 if change is None else 200
    while len(spent) < ROUNDS:
        if change is not None:
            change()
        here, there = time.process_time(), _database_seconds()
        answer = client.get(address, headers={"if-none-match": tag})
        taken = time.process_time() - here, _database_seconds() - there
        tag = answer["ETag"]
        if answer.status_code == wanted:
            spent.append(taken)
    # The clock of other processes has steps of 10 ms: the mean of many answers is nearer than the median.
    return median(web for web, _ in spent), sum(database for _, database in spent) / len(spent)


def _database_seconds() -> float:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
