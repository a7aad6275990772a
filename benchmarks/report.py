"""Tables for people, JSON for programs."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

from .measure import Sample
from .places import Places

PACKAGES = ("django-director", "django", "celery", "kombu", "redis", "psycopg")

DATABASE_CPU = (
    "PostgreSQL: connections of the benchmark's database alone; not the WAL writer, checkpoints, the making of "
    "connections, connections that ended. Others: the whole server"
)
WHOLE_SERVER = "the whole server with all that others do on it: connections of one task can't be told apart"


@dataclass
class Outcome:
    """What a suite found: tables to read, and figures that targets and baselines name."""

    is_markdown: ClassVar[bool] = False
    tables: list[tuple[str, list[str], list[list[str]]]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def table(self, title: str, head: list[str], rows: list[list[str]]) -> None:
        """Add a table, and print it at once: a suite takes long, and may fail."""
        self.tables.append((title, head, rows))
        shape = markdown if self.is_markdown else layout
        print(f"\n{title}\n{shape([head, *rows])}", flush=True)


def layout(rows: Sequence[Sequence[str]]) -> str:
    """Columns of one width each: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join("  " + line.rstrip() for line in lines)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table for a page of the documentation; the first row is its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(["", lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


SAMPLE_HEAD = ["", "wall s", "tasks/s", "CPU ms/task", "worker", "broker", "database"]


def sample_row(label: str, samples: Sequence[Sample]) -> list[str]:
    """Medians of samples; CPU as milliseconds per task, in all and by role."""

    def cpu(role: str) -> str:
        values = [sample.cpu[role] / sample.tasks for sample in samples if role in sample.cpu]
        return ms(median(values)) if values else "-"

    return [
        label,
        f"{median(sample.wall for sample in samples):.2f}",
        f"{median(sample.rate for sample in samples):.0f}",
        ms(median(sample.cpu_per_task for sample in samples)),
        *(cpu(role) for role in ("worker", "broker", "database")),
    ]


def ms(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{seconds * 1000:.2f}"


def machine(places: Places) -> dict[str, Any]:
    """What the figures depend on: processors, load, versions, the commit, places."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": load(),
        "commit": _commit(),
        "packages": {name: _version(name) for name in PACKAGES},
        "database": places.database,
        "broker": places.broker,
        "CONN_MAX_AGE": places.conn_max_age,
        "database CPU": DATABASE_CPU if places.keeps_connections else WHOLE_SERVER,
    }


def load() -> list[float]:
    """Of the last 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    here = Path(__file__).parent
    words = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(words, cwd=here, capture_output=True, text=True, check=False).stdout.strip()
