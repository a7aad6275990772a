"""Whether the workflow files are in order and stored, found out so cheaply that each page may ask.

A process reads the files again only when one of them has changed, and compares them with the database now and
then. The code of the project's tasks does not change while a process runs.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from django_director.definitions import Problem, Reading
from django_director.definitions.reader.payload_schema import FOLDER

from . import project, versions
from .versions import SyncReport

SECONDS: Final = 10.0
"""For so long a process believes what it has found out."""

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
            self._at = time.monotonic()
        finally:
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
        return Condition(files=reading.files, report=versions.store(reading.definitions, dry_run=True))


_watch: Final = _Watch()


def look() -> Condition | None:
    """Return the condition of the workflow files; ``None`` for a project without files, or if it is not known yet.

    It takes at most two queries, and none if this process has looked within the last ``SECONDS``.
    """
    return _watch.look(SECONDS)


def forget() -> None:
    """Read everything again at the next look."""
    _watch.forget()


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
