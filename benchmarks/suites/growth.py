"""What becomes of the costs when there is more: tasks in a run, finished runs, workers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from benchmarks import history, messages, processes, web
from benchmarks.contenders import running
from benchmarks.contenders.celery_plain import CeleryPlain
from benchmarks.contenders.ours import Director, write_workflows
from benchmarks.measure import Sample, measure, paired, ratio, settle
from benchmarks.places import ROOT, Places
from benchmarks.report import SAMPLE_HEAD, Outcome, ms, sample_row

TASKS = (10, 100, 1_000, 10_000, 100_000)
WORKERS = (1, 2, 4)
IDLE_SECONDS = 30.0
REQUESTS = 50


def run(places: Places, repeat: int) -> Outcome:
    """Each growth in turn."""
    outcome = Outcome()
    _tasks_per_run(places, outcome)
    _workers(places, repeat, outcome)
    _memory(places, outcome)
    if places.database.startswith("postgres"):
        _finished_runs(places, repeat, outcome)
    else:
        print("growth: finished runs are left out, they are made by PostgreSQL", file=sys.stderr)
    return outcome


def _tasks_per_run(places: Places, outcome: Outcome) -> None:
    """Start of runs of more and more tasks; no worker is on, so that nothing else is measured."""
    from django.core.management import call_command

    file = places.folder / "workflows" / "growth.yml"
    # A group and its join.
    write_workflows(file, chains=(), fans=[size - 1 for size in TASKS], tens=False)
    call_command("syncworkflows", verbosity=0)
    rows = []
    for size in TASKS:
        started = _start_apart(places, f"bench.FAN_{size - 1}")
        rows.append(
            [
                f"{size:,}",
                f"{started['seconds']:.3f}",
                ms(started["seconds"] / size),
                f"{started['before']:.0f}",
                f"{started['peak']:.0f}",
                *(f"{count:,}" for count in _count_and_delete(started["run"])),
            ]
        )
        outcome.figures[f"growth.start_{size}_seconds"] = started["seconds"]
        outcome.figures[f"growth.start_{size}_mb"] = started["peak"]
    head = ["", "s", "ms/task", "MB before", "MB peak", "tasks", "gates"]
    outcome.table("Start of a run of so many tasks, in a process of its own", head, rows)


def _start_apart(places: Places, workflow: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "benchmarks.starter", workflow]
    made = subprocess.run(words, cwd=ROOT, env=places.environment(), capture_output=True, text=True, check=False)
    if made.returncode:
        raise RuntimeError(f"{workflow}: {made.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(made.stdout)
    return found


def _count_and_delete(run: str) -> tuple[int, int]:
    from django_director.models import Gate, Run, Task

    tasks, gates = Task.objects.filter(run=run), Gate.objects.filter(run=run)
    counts = tasks.count(), gates.count()
    # Row by row Django would collect all of them first.
    for rows in (gates, tasks, Run.objects.filter(pk=run)):
        rows._raw_delete(rows.db)
    return counts


def _workers(places: Places, repeat: int, outcome: Outcome) -> None:
    rows = []
    for count in WORKERS:
        ours = Director(places, workers=count)
        with running(ours):
            taken = [measure(ours, lambda c: c.etl(200)) for _ in range(repeat)]
        rows.append(sample_row(f"{count} x 2 processes", taken))
    outcome.table("Workers, 200 x 3-task ETL", SAMPLE_HEAD, rows)


def _memory(places: Places, outcome: Outcome) -> None:
    ours = Director(places)
    rows, sizes = [], []
    with running(ours):
        rows.append(["worker of two processes, with its supervisor", _mb(ours.programs[0])])
        if places.broker.startswith("redis"):
            sizes = [
                [title, str(_largest(ours, scenario))]
                for title, scenario in (
                    ("chain of 10", lambda: ours.chain(10)),
                    ("chain of 100", lambda: ours.chain(100)),
                    ("group of 1,000 + join", lambda: ours.fan(1000)),
                    ("ten groups of ten", ours.tens),
                )
            ]
        with web.served(ours) as (port, program):
            web.starts_per_second(port, ours.request(), REQUESTS)
            rows.append(["gunicorn -w 2, after starts", _mb(program)])
        ours.drain()
    percent, supervisor = _idle_supervisor(places)
    rows.append(["supervisor apart", supervisor])
    outcome.table("Memory, PSS of all processes", ["", "MB"], rows)
    if sizes:
        outcome.table("Largest message", ["", "bytes"], sizes)
    outcome.table("Idle supervisor", ["", "% of a core"], [["its process", f"{percent:.2f}"]])
    outcome.figures["growth.idle_supervisor_percent"] = percent


def _mb(program: processes.Program) -> str:
    return f"{processes.memory(program.pid):.0f}"


def _largest(ours: Director, scenario: Callable[[], int]) -> int:
    with messages.tapped(ours.places.broker, ours.queue) as sizes:
        scenario()
    return sizes.largest


def _idle_supervisor(places: Places) -> tuple[float, str]:
    """Share of a core of a supervisor with nothing to do, by itself, and its memory."""
    from django_director.engine.supervisor.leadership import LEASE_NAME
    from django_director.models import Lease

    words = [sys.executable, "-m", "django", "superviseworkflows"]
    program = processes.Program(words, places.environment(), places.folder / "supervisor.log")
    try:
        deadline = time.monotonic() + 60
        while not Lease.objects.filter(name=LEASE_NAME, holder__endswith=f":{program.pid}").exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the supervisor does not work\n{program.tail()}")
            time.sleep(0.1)
        # Its first tick does everything once.
        settle(lambda: {program.pid: processes.cpu_seconds(program.pid)})
        begun, before = time.monotonic(), processes.cpu_seconds(program.pid)
        time.sleep(IDLE_SECONDS)
        used = processes.cpu_seconds(program.pid) - before
        return 100 * used / (time.monotonic() - begun), _mb(program)
    finally:
        program.stop()


def _finished_runs(places: Places, repeat: int, outcome: Outcome) -> None:
    """The same work and the same pages with more and more finished runs in the database.

    Each size is measured in turn with plain Celery, which knows no database: the ratio of the ratios leaves out
    what else happened on the machine in the meantime.
    """
    plain, ours = CeleryPlain(places), Director(places)
    rows, waits = [], []
    against: dict[int, float] = {}
    sizes = [0, *(10**power for power in range(3, 7) if 10**power <= places.finished)]
    with running(plain, ours):
        template = _finished_run()
        for before, size in zip([0, *sizes], sizes, strict=False):
            if size:
                history.fill(template, before + 1, size)
            taken = paired([plain, ours], lambda c: c.etl(200), repeat)
            rows.append(sample_row(f"{size:,}", taken[ours.name]))
            against[size] = ratio(_walls(taken[plain.name]), _walls(taken[ours.name]))
            waits.append([f"{size:,}", ms(_start_seconds(ours)), *map(ms, _ticks()), *map(ms, _pages(ours))])
    outcome.table("Finished runs of 3 tasks in the database, 200 x 3-task ETL", SAMPLE_HEAD, rows)
    head = ["", "start", "first tick", "tick", "API runs", "API workflows", "admin runs", "admin workflows"]
    outcome.table("Finished runs in the database, ms", head, waits)
    outcome.figures["growth.finished_runs"] = against[sizes[-1]] / against[0]
    outcome.figures["growth.finished_runs_count"] = sizes[-1]


def _walls(samples: list[Sample]) -> list[float]:
    return [sample.wall for sample in samples]


def _finished_run() -> Any:
    from django_director.models import Run
    from django_director.status import RunStatus

    return Run.objects.filter(workflow__name="bench.CHAIN_3", status=RunStatus.SUCCESS).latest("id").pk


def _start_seconds(ours: Director) -> float:
    return median(measure(ours, lambda c: c.chain(3)).starting for _ in range(9))


def _ticks() -> tuple[float, float]:
    """Of a supervisor: its first tick, in which it does everything, and the median of the usual ones."""
    from django_director.engine.supervisor.loop import Supervisor

    supervisor = Supervisor()
    seconds = [_seconds(supervisor.tick) for _ in range(10)]
    return seconds[0], median(seconds[1:])


def _pages(ours: Director) -> list[float]:
    """Median seconds of the lists, asked for in this process."""
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.urls import reverse

    authorization = ours.request().authorization
    client = Client(headers={"host": "127.0.0.1", "authorization": authorization})
    client.force_login(get_user_model().objects.get(username="bench"))
    names = [
        "/director/api/runs/",
        "/director/api/workflows/",
        reverse("admin:django_director_run_changelist"),
        reverse("admin:django_director_workflow_changelist"),
    ]

    def get(path: str) -> None:
        answer = client.get(path)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.content[:300]!r}")

    return [median(_seconds(partial(get, path)) for _ in range(5)) for path in names]


def _seconds(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun
