"""Run benchmarks: ``python -m benchmarks [SUITE ...]``; see README.md."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from . import report, short, targets
from .places import CONN_MAX_AGE, FINISHED, IDLE, ITEMS, make_places
from .project import project

SUITES = tuple(sorted(path.stem for path in (Path(__file__).parent / "suites").glob("[a-z]*.py")))
ASKED = "others"
"""Runs only when it is named: it installs two large systems and takes a quarter of an hour."""
FILE = Path("benchmarks.json")
BASELINE = Path(__file__).with_name("baseline.json")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure django-director beside others.")
    # Checked below: argparse would refuse an empty list.
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"{', '.join(SUITES)}; default: all but {ASKED}"
    )
    parser.add_argument("--repeat", type=int, default=5, help="rounds of each pair (5)")
    parser.add_argument("--short", action="store_true", help="the CI form: compares ratios with baseline.json")
    parser.add_argument("--write-baseline", action="store_true", help="run the short form and keep its ratios")
    # A bare --json after the suites is the default.
    parser.add_argument(
        "--json", nargs="?", type=Path, default=FILE, const=FILE, metavar="FILE", help=f"for the figures ({FILE})"
    )
    parser.add_argument("--markdown", action="store_true", help="print tables as the documentation has them")
    parser.add_argument("--database", metavar="URL", help="its name gets “_bench” appended")
    parser.add_argument("--broker", metavar="URL")
    parser.add_argument("--results", metavar="URL", help="the Redis of plain Celery's results")
    add_sizes(parser)
    given = parser.parse_args()
    given.short |= given.write_baseline
    if given.short and given.suites:
        parser.error("the short form has no suites")
    if unknown := set(given.suites) - set(SUITES):
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    return given


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """Options of single suites."""
    numbers = [
        ("--conn-max-age", int, CONN_MAX_AGE, "SECONDS", "of Django"),
        ("--finished", int, FINISHED, "N", "finished runs of growth"),
        ("--items", int, ITEMS, "N", "items of a map; the large one of maps has ten times as many"),
        ("--idle", float, IDLE, "SECONDS", "without work, before the single step of fresh"),
    ]
    for name, kind, default, metavar, meaning in numbers:
        shown = f"{meaning} ({default:,.0f})"
        parser.add_argument(name, type=kind, default=default, metavar=metavar, help=shown)
    parser.add_argument(
        "--no-prepare", dest="prepare", action="store_false", help="without prepared statements in PostgreSQL"
    )


def main() -> int:
    given = arguments()
    # A stop from outside takes the workers along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    report.Outcome.is_markdown = given.markdown
    options = ("database", "broker", "results", "conn_max_age", "finished", "items", "idle", "prepare")
    places = make_places(**{name: getattr(given, name) for name in options})
    figures: dict[str, float] = {}
    tables: list[object] = []
    about = report.machine(places)
    print(json.dumps(about, indent=1))
    with project(places):
        for suite in chosen(given):
            outcome = suite.run(places, given.repeat)
            figures |= outcome.figures
            tables += outcome.tables
            about["load at the end"] = report.load()
            # After each: a suite takes long, and the next one may fail.
            found = {"machine": about, "figures": figures, "tables": tables}
            given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("", f"load {about['load']}, at the end {about['load at the end']}", *targets.lines(figures), sep="\n")
    if given.write_baseline:
        BASELINE.write_text(json.dumps({"machine": about, "ratios": figures}, indent=1) + "\n", encoding="utf-8")
        return 0
    return judge(figures) if given.short else 0


def chosen(given: argparse.Namespace) -> list[Any]:
    """The modules of the suites that were asked for."""
    if given.short:
        return [short]
    names = given.suites or [name for name in SUITES if name != ASKED]
    return [import_module(f"benchmarks.suites.{name}") for name in names]


def judge(figures: dict[str, float]) -> int:
    """1 when a ratio is worse than its baseline; absolute times are never judged."""
    if not BASELINE.exists():
        print(f"nothing is judged without {BASELINE.name}: --write-baseline makes it", file=sys.stderr)
        return 1
    worse = targets.regressions(figures, json.loads(BASELINE.read_text(encoding="utf-8"))["ratios"])
    print(*worse, sep="\n")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
