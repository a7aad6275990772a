"""Maps over many tiny items, in a project as `startproject` makes it, beside what plain Celery has for them."""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

from benchmarks import processes
from benchmarks.contenders import Contender, running
from benchmarks.contenders.fresh import FreshCelery, FreshDirector
from benchmarks.fresh import site
from benchmarks.measure import Scenario, in_turn, measure, ratio
from benchmarks.places import Places
from benchmarks.report import SAMPLE_HEAD, Outcome, ms, sample_row

CHORD = 1000
"""Members of a chord: what Celery needs on Redis grows with the square of them."""
BALLAST = 86_000
"""Numbers of eight bytes in a payload: 688 kB."""
LARGE = 10
"""The large map has so many times the usual number of items."""
TITLES = {
    "chords": "plain Celery, chords of 1,000",
    "chunks": "plain Celery, chunks of 50 with a join",
    "map": "map",
    "max_parallel": "map, max_parallel: 200",
    "batch": "map, batch: 50",
}


def run(places: Places, repeat: int) -> Outcome:
    """Compare in turn."""
    plain, ours = FreshCelery(places), FreshDirector(places)
    outcome = Outcome()
    with running(plain, ours):
        refused = site.add_batches(ours.site, ours.queue)
        if refused:
            print(f"maps: left out what has batches, for they are refused: {refused}", file=sys.stderr)
        _usual(plain, ours, repeat, outcome, has_batches=not refused)
        _payload(ours, repeat, outcome)
        if not refused:
            _large(ours, outcome)
        _alone(ours, outcome)
    return outcome


def _usual(plain: FreshCelery, ours: FreshDirector, repeat: int, outcome: Outcome, *, has_batches: bool) -> None:
    items = ours.places.items
    cases: dict[str, tuple[Contender, Scenario]] = {
        "chords": (plain, lambda _: plain.chords(CHORD, items // CHORD)),
        "chunks": (plain, lambda _: plain.chunks(items)),
        "map": (ours, lambda _: ours.map("bench.MAP", items)),
        "max_parallel": (ours, lambda _: ours.map("bench.MAP_PARALLEL", items)),
    }
    if has_batches:
        cases["batch"] = (ours, lambda _: ours.map("bench.MAP_BATCH", items))
    taken = in_turn(cases, repeat)
    rows = [sample_row(TITLES[key], samples) for key, samples in taken.items()]
    outcome.table(f"{items:,} no-ops ({ours.places.servers}; plain Celery's results in Redis)", SAMPLE_HEAD, rows)
    walls = {key: [sample.wall for sample in samples] for key, samples in taken.items()}
    cpu = {key: median(sample.cpu_per_task for sample in samples) for key, samples in taken.items()}
    shown = [
        [TITLES[key], f"{median(walls[key]):.1f}", ms(cpu[key]), *_ratios(walls, key, ("chords", "chunks", "map"))]
        for key in taken
    ]
    head = ["", "time, s", "CPU, ms a task", "x chords", "x chunks", "x map"]
    outcome.table(f"{items:,} no-ops with a join", head, shown)
    outcome.figures |= {
        "maps.map": ratio(walls["map"], walls["chords"]),
        "maps.max_parallel": ratio(walls["max_parallel"], walls["map"]),
    }
    if has_batches:
        outcome.figures |= {
            "maps.batch": ratio(walls["batch"], walls["chords"]),
            "maps.batch_of_chunks": ratio(walls["batch"], walls["chunks"]),
            "maps.batch_cpu_ms": cpu["batch"] * 1000,
        }


def _ratios(walls: dict[str, list[float]], key: str, others: tuple[str, ...]) -> list[str]:
    return [f"{ratio(walls[key], walls[other]):.2f}" for other in others]


def _payload(ours: FreshDirector, repeat: int, outcome: Outcome) -> None:
    """What a list in the payload costs that no item reads."""
    items = ours.places.items * 3 // 10
    without, unused = "without", "with an unused list of 688 kB"
    taken = in_turn(
        {
            without: (ours, lambda _: ours.map("bench.MAP", items)),
            unused: (ours, lambda _: ours.map("bench.MAP", items, ballast=BALLAST)),
        },
        repeat,
    )
    rows = [sample_row(title, samples) for title, samples in taken.items()]
    outcome.table(f"Map of {items:,} no-ops, by its payload", SAMPLE_HEAD, rows)
    walls = [[sample.wall for sample in taken[title]] for title in (unused, without)]
    outcome.figures["maps.unused_payload"] = ratio(*walls)


def _large(ours: FreshDirector, outcome: Outcome) -> None:
    """Once: a map over the list that a task returns, and the memory of the worker meanwhile."""
    items = ours.places.items * LARGE
    ours.warm_up()
    ours.is_still()
    try:
        with processes.memory_watched(ours.programs[0].pid) as seen:
            sample = measure(ours, lambda _: ours.map_of_task("bench.MAP_BATCH_OF_TASK", items))
    except RuntimeError as error:
        print(f"maps: left out the map of {items:,} items: {error}", file=sys.stderr)
        return
    outcome.table(f"Map of {items:,} no-ops, batch: 50", SAMPLE_HEAD, [sample_row("once", [sample])])
    quarters = [seen[len(seen) * quarter // 4] for quarter in range(4)]
    row = [f"{size:.0f}" for size in (*quarters, seen[-1], max(seen))]
    head = ["", "before", "1/4", "1/2", "3/4", "at the end", "most"]
    outcome.table("PSS of its worker in the course of it, MB", head, [["", *row]])
    outcome.figures |= {"maps.large_seconds": sample.wall, "maps.large_growth_mb": max(seen) - seen[0]}


def _alone(ours: FreshDirector, outcome: Outcome) -> None:
    """What runs without a worker, on SQLite in memory."""
    env = ours.environment() | {"DJANGO_SETTINGS_MODULE": "shop.in_memory"}
    words = [sys.executable, "-m", "benchmarks.fresh.alone", str(ours.folder)]
    made = subprocess.run(words, cwd=ours.folder, env=env, capture_output=True, text=True, check=False)
    if made.returncode:
        raise RuntimeError(f"{words}: {made.stderr[-2000:]}")
    found = json.loads(made.stdout)
    titles = {"local": "a step of `runworkflow --local`, ms", "test": "a step of `testing.run_workflow`, ms"}
    rows = [[title, *(ms(value) for value in found[key])] for key, title in titles.items()]
    rows.append(
        ["`checkworkflows`, three workflows of 1,000 steps, s", *(f"{value:.2f}" for value in found["check"])]
    )
    outcome.table("In one process, SQLite in memory", ["", "time", "CPU"], rows)
    outcome.figures |= {
        "maps.local_step_ms": found["local"][1] * 1000,
        "maps.test_step_ms": found["test"][1] * 1000,
        "maps.check_seconds": found["check"][1],
    }
