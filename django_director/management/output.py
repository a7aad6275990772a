"""Prints the data of commands: aligned and coloured on a terminal, plain in a pipe, as JSON for scripts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, Final

from django.core.management.base import OutputWrapper
from django.core.management.color import Style
from django.utils import timezone

from django_director.status import RunStatus, TaskStatus

Cell = str | int | float | datetime | None

_GOOD: Final = frozenset({RunStatus.SUCCESS.value})
_BAD: Final = frozenset({TaskStatus.FAILED.value, TaskStatus.UPSTREAM_FAILED.value})
_CARE: Final = frozenset({TaskStatus.CANCELED.value, "canceling", "paused"})
_GAP: Final = "  "
ALIGNED: Final = 1_000
"""So many rows of a table are read before the first is printed."""


class Printer:
    """Writes rows and values to a stream, in a form for a terminal or for a pipe."""

    def __init__(self, stream: OutputWrapper, style: Style) -> None:
        self.stream = stream
        self.style = style
        self.on_terminal = stream.isatty()

    def line(self, text: str = "") -> None:
        """Print one line."""
        self.stream.write(text)

    def json(self, value: object) -> None:
        """Print a value as JSON."""
        self.stream.write(json.dumps(value, indent=2))

    def json_with(self, value: dict[str, Any], name: str, members: Iterable[object]) -> None:
        """Print ``value`` as JSON, and in it under ``name`` the list of ``members``, each printed as it comes."""
        # The same text as `json` prints, whatever the number of members.
        head = json.dumps(value | {name: []}, indent=2).removesuffix("[]\n}")
        self.stream.write(head + "[", ending="")
        comma = ""
        for member in members:
            text = json.dumps(member, indent=2).replace("\n", "\n    ")
            self.stream.write(f"{comma}\n    {text}", ending="")
            comma = ","
        self.line("\n  ]\n}" if comma else "]\n}")

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Print rows as they come: on a terminal aligned below ``headers`` and cut at the edge, else with tabs.

        The first rows decide how wide the columns are.
        """
        texts = ([self.text(cell) for cell in row] for row in rows)
        if self.on_terminal:
            self._aligned(list(headers), texts)
            return
        for row in texts:
            self.line("\t".join(row))

    def fields(self, pairs: Iterable[tuple[str, Cell]]) -> None:
        """Print values with their names, one in each line; empty values are left out."""
        given = [(name, self.text(value)) for name, value in pairs if value not in (None, "")]
        width = max((len(name) for name, _ in given), default=0)
        for name, value in given:
            self.line(f"{name + ':':<{width + 1}} {value}" if self.on_terminal else f"{name}\t{value}")

    def text(self, cell: Cell) -> str:
        """Return a value as text in one line.

        Control characters become spaces: they could forge rows of the table, or control the terminal.
        """
        if cell is None:
            return "-" if self.on_terminal else ""
        if isinstance(cell, datetime):
            return self.time(cell)
        if isinstance(cell, float):
            return self.duration(cell)
        return "".join(char if char.isprintable() else " " for char in str(cell))

    def time(self, moment: datetime) -> str:
        """Return a time: on a terminal in the project's time zone, in a pipe in UTC."""
        if self.on_terminal:
            return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

    def duration(self, seconds: float) -> str:
        """Return a duration: on a terminal in words, in a pipe in seconds."""
        return duration(seconds) if self.on_terminal else f"{seconds:.3f}"

    def _aligned(self, headers: list[str], rows: Iterator[list[str]]) -> None:
        first = list(islice(rows, ALIGNED))
        if not first:
            return
        widths = [max(map(len, column)) for column in zip(headers, *first, strict=True)]
        self._row(headers, widths, [self.style.MIGRATE_HEADING] * len(headers))
        for row in chain(first, rows):
            self._row(row, widths, [self._painter(cell) for cell in row])

    def _row(self, row: list[str], widths: list[int], paint: Sequence[Callable[[str], str]]) -> None:
        room = shutil.get_terminal_size().columns
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        cells[-1] = _cut(row[-1], room - sum(len(cell) + len(_GAP) for cell in cells[:-1]))
        self.line(_GAP.join(draw(cell) for draw, cell in zip(paint, cells, strict=True)).rstrip())

    def _painter(self, text: str) -> Callable[[str], str]:
        status = text.partition(" ")[0]
        if status in _GOOD:
            return self.style.SUCCESS
        if status in _BAD:
            return self.style.ERROR
        return self.style.WARNING if status in _CARE else str


def duration(seconds: float) -> str:
    """Return a number of seconds as text for people: ``0.3 s``, ``2 min 05 s``, ``3 h 04 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def format_time(moment: datetime) -> str:
    """Return a time as text, in the project's time zone and without fractions of a second."""
    return f"{timezone.localtime(moment) if timezone.is_aware(moment) else moment:%Y-%m-%d %H:%M:%S}"


def number_of(number: int, word: str) -> str:
    """Return a number with its noun: ``1 task``, ``2 tasks``."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= max(room, 10) else text[: max(room, 10) - 1] + "…"
