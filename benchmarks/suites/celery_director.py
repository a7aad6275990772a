"""The same workflows in celery-director 0.10.0, on the same PostgreSQL and Redis."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median

from benchmarks import messages, processes, web
from benchmarks.celery_director import environment
from benchmarks.contenders import running
from benchmarks.contenders.celery_director import CeleryDirector, Starter
from benchmarks.contenders.ours import Director
from benchmarks.measure import Sample, paired, ratio
from benchmarks.places import Places
from benchmarks.report import SAMPLE_HEAD, Outcome, sample_row

STARTS = 200
WARM_UP = 40
"""Starts that are not counted."""
TENS_SECONDS = 30.0
"""How long celery-director may try to start ten groups of ten in a row."""
SHAPES = {
    "chain_10": ("chain of 10", lambda c: c.chain(10)),
    "chain_100": ("chain of 100", lambda c: c.chain(100)),
    "group_100": ("group of 100 + join", lambda c: c.fan(100)),
    "group_1000": ("group of 1,000 + join", lambda c: c.fan(1000)),
    "etl": ("200 x 3-task ETL", lambda c: c.etl(200)),
}


@dataclass(frozen=True)
class _Measured:
    """What was measured of both; ``ours`` and ``theirs`` are their names, the keys of the dictionaries."""

    ours: str
    theirs: str
    idle: dict[str, float]
    """Megabytes of the worker before it has worked."""
    taken: dict[str, dict[str, list[Sample]]]
    """By the key of a shape."""
    starts: dict[str, list[float]]
    """Starts per second through the API."""
    tens: _Tens


def run(places: Places, repeat: int) -> Outcome:
    """Compare pair by pair."""
    outcome = Outcome()
    if not places.database.startswith("postgres"):
        print("celery_director: left out, it is compared on PostgreSQL", file=sys.stderr)
        return outcome
    found = _measure(Director(places), CeleryDirector(places), repeat)
    rows = [
        sample_row(f"{title}, {name}", samples)
        for key, (title, _) in SHAPES.items()
        for name, samples in found.taken[key].items()
    ]
    outcome.table("celery-director 0.10.0 (until the run has its outcome)", SAMPLE_HEAD, rows)
    outcome.table("Beside", ["", "director", "celery-director"], _beside(found))
    outcome.table("celery-director's environment", ["", "installed"], _versions())
    outcome.figures = _figures(found)
    return outcome


def _measure(ours: Director, theirs: CeleryDirector, repeat: int) -> _Measured:
    with running(ours, theirs):
        return _Measured(
            ours=ours.name,
            theirs=theirs.name,
            idle={contender.name: processes.memory(contender.programs[0].pid) for contender in (ours, theirs)},
            taken={key: paired([ours, theirs], shape, repeat) for key, (_, shape) in SHAPES.items()},
            starts=_starts(ours, theirs, repeat),
            tens=_tens(ours, theirs),
        )


def _beside(found: _Measured) -> list[list[str]]:
    starting = found.taken["group_1000"].values()
    return [
        ["start of a 1,000-task run, s", *(f"{_starting(samples):.3f}" for samples in starting)],
        ["starts/s through the API", *(f"{median(rates):.0f}" for rates in found.starts.values())],
        ["idle worker, PSS of all its processes, MB", *(f"{size:.0f}" for size in found.idle.values())],
        ["ten groups of ten in a row", *found.tens.rows],
    ]


def _figures(found: _Measured) -> dict[str, float]:
    """Return the figures that have targets: how many times ours is faster, or smaller, and two of ours alone."""
    ours, theirs = found.ours, found.theirs
    walls = {key: ratio(_walls(taken[theirs]), _walls(taken[ours])) for key, taken in found.taken.items()}
    start_1000 = [[sample.starting for sample in found.taken["group_1000"][name]] for name in (theirs, ours)]
    others = {
        "start_1000": ratio(*start_1000),
        "api_starts": ratio(found.starts[ours], found.starts[theirs]),
        "idle_memory": found.idle[ours] / found.idle[theirs],
        "tens": found.tens.seconds,
        **({"message_bytes": found.tens.largest} if found.tens.largest else {}),
    }
    return {f"celery_director.{key}": figure for key, figure in (walls | others).items()}


def _versions() -> list[list[str]]:
    installed = dict(line.split("==") for line in environment.versions())
    names = ("celery-director", "celery", "kombu", "redis", "Flask", "SQLAlchemy", "psycopg2-binary", "gunicorn")
    return [[name, installed[name]] for name in names]


def _walls(samples: list[Sample]) -> list[float]:
    return [sample.wall for sample in samples]


def _starting(samples: list[Sample]) -> float:
    return median(sample.starting for sample in samples)


def _starts(ours: Director, theirs: CeleryDirector, repeat: int) -> dict[str, list[float]]:
    """Starts per second of a run of three tasks, with the workers on."""
    found: dict[str, list[float]] = {ours.name: [], theirs.name: []}
    for _ in range(repeat):
        for contender in (ours, theirs):
            with web.served(contender) as (port, _):
                # Each process of the server imports and compiles what it needs at its first requests.
                web.starts_per_second(port, contender.request(), WARM_UP)
                found[contender.name].append(web.starts_per_second(port, contender.request(), STARTS))
            contender.drain()
    return found


class _Tens:
    """Ten groups of ten in a row: seconds and the largest message of ours, and how theirs ended."""

    def __init__(self, seconds: float, largest: int, theirs: str) -> None:
        self.seconds = seconds
        self.largest = largest
        self.rows = [f"{seconds:.2f} s" + (f", messages of {largest} bytes" if largest else ""), theirs]


def _tens(ours: Director, theirs: CeleryDirector) -> _Tens:
    begun = time.monotonic()
    ours.tens()
    seconds = time.monotonic() - begun
    largest = 0
    if ours.places.broker.startswith("redis"):
        # Not the run that is timed: MONITOR slows the server down.
        with messages.tapped(ours.places.broker, ours.queue) as sizes:
            ours.tens()
        largest = sizes.largest
    return _Tens(seconds, largest, _try_tens(theirs))


def _try_tens(theirs: CeleryDirector) -> str:
    """A process of its own: it is stuck in making a message."""
    starter = Starter(theirs.python, theirs.environment())
    try:
        starter.start("TENS", seconds=TENS_SECONDS)
        return "started"
    except TimeoutError:
        return f"not started in {TENS_SECONDS:.0f} s, {processes.memory(starter.process.pid):.0f} MB by then"
    except (RuntimeError, subprocess.SubprocessError) as error:
        return f"not started: {str(error).strip().splitlines()[-1]}"
    finally:
        starter.stop()
