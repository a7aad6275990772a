"""Where a benchmark runs: its database, broker, results, and the folder of what it writes."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "postgres://postgres@127.0.0.1:5432/director"
BROKER = "redis://127.0.0.1:6379/7"
RESULTS = "redis://127.0.0.1:6379/8"

CONN_MAX_AGE = 600
"""Seconds; what our documentation recommends. With Django's default, 0, each task makes a connection."""

FINISHED = 1_000_000
"""So many finished runs does the suite ``growth`` put into the database."""

ITEMS = 10_000
"""Items of the usual map of the suite ``maps``; its large map has ten times as many."""

IDLE = 60.0
"""Seconds without work before the suite ``fresh`` starts a single step."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """URLs as the contenders take them. Of the database as given; the one in use has ``_bench`` appended."""

    database: str
    broker: str
    results: str
    folder: Path
    conn_max_age: int = CONN_MAX_AGE
    finished: int = FINISHED
    items: int = ITEMS
    idle: float = IDLE
    prepare: bool = True
    """Let PostgreSQL keep the plans of statements, as our documentation recommends; Django's default is not to."""

    @property
    def keeps_connections(self) -> bool:
        """Do connections outlast a measurement, so that the CPU of each can be read after it?"""
        return self.conn_max_age > 0

    @property
    def bench_database(self) -> str:
        """The URL of the benchmark's own database, which is made anew and dropped."""
        if self.database.startswith("sqlite"):
            return f"sqlite:///{self.folder / 'bench.sqlite3'}"
        return f"{self.database}_bench"

    @property
    def other_database(self) -> str:
        """The URL of celery-director's database."""
        return f"{self.database}_bench_other"

    @property
    def fresh_database(self) -> str:
        """The URL of the database of a project in which nothing is tuned."""
        if self.database.startswith("sqlite"):
            return f"sqlite:///{self.folder / 'fresh.sqlite3'}"
        return f"{self.database}_bench_fresh"

    @property
    def servers(self) -> str:
        """The database and the broker, as ``postgres_redis``."""
        kinds = {"postgresql": "postgres", "mariadb": "mysql", "rediss": "redis", "amqps": "amqp"}
        schemes = (url.partition(":")[0] for url in (self.database, self.broker))
        return "_".join(kinds.get(scheme, scheme) for scheme in schemes)

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a contender's processes."""
        return (
            dict(os.environ)
            | {
                "DATABASE_URL": self.bench_database,
                "CELERY_BROKER_URL": self.broker,
                "BENCH_RESULTS_URL": self.results,
                "BENCH_CONN_MAX_AGE": str(self.conn_max_age),
                "BENCH_PREPARE": "yes" if self.prepare else "no",
                "BENCH_FOLDER": str(self.folder),
                "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
                "PYTHONPATH": str(ROOT),
            }
            | more
        )


def make_places(
    database: str | None = None, broker: str | None = None, results: str | None = None, **others: Any
) -> Places:
    """Places with defaults, and a new temporary folder."""
    return Places(
        database=database or DATABASE,
        broker=broker or BROKER,
        results=results or RESULTS,
        folder=Path(tempfile.mkdtemp(prefix="director-bench-")),
        **others,
    )


def remove(places: Places) -> None:
    """Remove the folder."""
    shutil.rmtree(places.folder, ignore_errors=True)


def port(url: str) -> int | None:
    """The port of a server on this machine; ``None`` for files and for other machines."""
    parts = urlsplit(url)
    if parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        return None
    defaults = {"redis": 6379, "amqp": 5672, "postgres": 5432, "postgresql": 5432, "mysql": 3306, "mariadb": 3306}
    return parts.port or defaults.get(parts.scheme)
