"""Whether the workflow files are in order and stored, found out so cheaply that each page may ask.

A process reads the files again only when one of them has changed, and compares them with the database now and
then. The code of the project's tasks does not change while a process runs.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from django.db import DatabaseError, InterfaceError, connections

from django_director.conf import director
from django_director.db.lock_limits import limited_reads
from django_director.definitions import Definition, Problem, Reading
from django_director.definitions.reader.payload_schema import FOLDER
from django_director.schedules import beat_rows

from . import project, versions
from .versions import SyncReport

SECONDS: Final = 10.0
"""For so long a process believes what it has found out."""
LOCK_SECONDS: Final = 1.0
"""A page waits so long for tables that are locked, and says nothing of the files then."""

Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is wrong with the workflow files, or what a sync would change."""

    files: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    """While there are any, nothing can be synced."""
    report: SyncReport = field(default_factory=SyncReport)

    @property
    def is_good(self) -> bool:
        """Whether the files have no problems, and the database agrees with them."""
        return not self.problems and not self.report.is_due


class _Watch:
    """What this process knows of the files."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        self._at = -math.inf
        self._signature: Signature | None = None
        self._reading = Reading()
        self._known: Condition | None = None

    def look(self, seconds: float) -> Condition | None:
        """Return the condition as of the last ``seconds``; while another thread finds it out, the one before."""
        if time.monotonic() - self._at < seconds or not self._lock.acquire(blocking=False):
            return self._known
        try:
            self._known = self._find_out()
        finally:
            self._at = time.monotonic()
            self._lock.release()
        return self._known

    def _find_out(self) -> Condition | None:
        paths = project.paths()
        if not paths:
            return None
        signature = tuple(_signature(paths))
        if signature != self._signature:
            self._reading, self._signature = project.read_project(), signature
        reading = self._reading
        if reading.problems:
            return Condition(files=reading.files, problems=reading.problems)
        report = _compare(reading.definitions)
        return None if report is None else Condition(files=reading.files, report=report)


_watch: Final = _Watch()


def look() -> Condition | None:
    """Return the condition of the workflow files.

    It is ``None`` for a project without files, if it is not known yet, and while the database does not answer.
    It takes at most two queries in a transaction, and none if this process has looked within the last ``SECONDS``.
    """
    return _watch.look(SECONDS)


def forget() -> None:
    """Read everything again at the next look."""
    _watch.forget()


def _compare(definitions: Sequence[Definition]) -> SyncReport | None:
    """Return what a sync would change; ``None`` if the database does not tell."""
    databases = {director.DATABASE, *([beat_rows.beat_database()] if beat_rows.is_installed() else [])}
    try:
        with contextlib.ExitStack() as limits:
            for alias in sorted(databases):
                limits.enter_context(limited_reads(connections[alias], LOCK_SECONDS))
            return versions.store(definitions, dry_run=True)
    except (DatabaseError, InterfaceError):
        return None


def _signature(paths: Iterable[Path]) -> Iterator[tuple[str, int, int]]:
    """Yield path, time of change and size of each file that a reading reads; of a missing file zeros."""
    given = list(paths)
    schemas = {path.parent / FOLDER for path in given}
    for path in (*given, *(file for folder in sorted(schemas) for file in sorted(folder.rglob("*.json")))):
        try:
            found = path.stat()
        except OSError:
            yield str(path), 0, 0
        else:
            yield str(path), found.st_mtime_ns, found.st_size
