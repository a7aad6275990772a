"""Prints the data of commands: aligned and coloured on a terminal, plain in a pipe, as JSON for scripts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from django.core.management.base import OutputWrapper
from django.core.management.color import Style
from django.utils import timezone

from django_director.status import RunStatus, TaskStatus

Cell = str | int | float | datetime | None

_GOOD: Final = frozenset({RunStatus.SUCCESS.value})
_BAD: Final = frozenset({TaskStatus.FAILED.value, TaskStatus.UPSTREAM_FAILED.value})
_CARE: Final = frozenset({TaskStatus.CANCELED.value, "canceling", "paused"})
_GAP: Final = "  "


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

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Print rows: on a terminal aligned below ``headers`` and cut at the edge, in a pipe with tabs only."""
        texts = [[self.text(cell) for cell in row] for row in rows]
        if not self.on_terminal:
            for row in texts:
                self.line("\t".join(row))
        elif texts:
            self._aligned([list(headers), *texts])

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

    def _aligned(self, lines: list[list[str]]) -> None:
        widths = [max(len(row[column]) for row in lines) for column in range(len(lines[0]))]
        room = shutil.get_terminal_size().columns
        for number, row in enumerate(lines):
            cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
            paint = self._painters(row) if number else [self.style.MIGRATE_HEADING] * len(row)
            cells[-1] = _cut(row[-1], room - sum(len(cell) + len(_GAP) for cell in cells[:-1]))
            self.line(_GAP.join(draw(cell) for draw, cell in zip(paint, cells, strict=True)).rstrip())

    def _painters(self, row: Sequence[str]) -> list[Callable[[str], str]]:
        return [self._painter(cell) for cell in row]

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
