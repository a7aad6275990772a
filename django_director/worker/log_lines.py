"""The log lines that are kept of an attempt: the first and the last ones.

The memory is bounded, but for one long line at the beginning and one at the end, which are kept whole: they are
cut only after secrets were taken out, since half a secret can't be recognised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Self

from django_director.conf import KIB

FIRST_BYTES: Final = 16 * KIB
"""How many bytes of the first log lines of an attempt are kept."""
LAST_BYTES: Final = 48 * KIB
"""How many bytes of its last ones."""
MAX_BYTES: Final = FIRST_BYTES + LAST_BYTES
KEPT_OF_LINE: Final = LAST_BYTES - KIB
"""How many bytes are kept of a line that is longer than ``LAST_BYTES``."""
DROPPED: Final = "… {count:,} lines were dropped here: the first {first} KiB and the last {last} KiB are kept.\n"
CUT: Final = "… the beginning of this line was dropped: "


class LogLines:
    """The first and the last of some log lines; a line longer than ``LAST_BYTES`` counts as one that was cut."""

    def __init__(self) -> None:
        self.dropped = 0
        """How many lines between the first and the last ones were dropped."""
        self._first: list[str] = []
        self._last: deque[str] = deque()
        self._room = FIRST_BYTES
        """How many bytes of first lines may still come; 0 from the first line on that finds no room."""
        self._bytes = 0
        """The size of the last lines."""

    def __bool__(self) -> bool:
        return bool(self._first or self._last)

    def add(self, line: str) -> None:
        """Add a line, or several lines such as a traceback."""
        size = _size(line)
        # Else hardly anything would be kept of the beginning of a log whose lines are long.
        if size <= self._room or (self._room and size > FIRST_BYTES):
            self._room = max(0, self._room - size)
            self._first.append(line)
            return
        self._room = 0
        self._last.append(line)
        self._bytes += size
        # A time limit may raise its exception between any two of these statements.
        while self._bytes > LAST_BYTES and self._last:
            self._bytes -= _size(self._last.popleft())
            self.dropped += 1

    def copy(self) -> Self:
        """Return a copy, to which lines that are added later do not come."""
        copied = type(self)()
        copied.dropped, copied._room, copied._bytes = self.dropped, self._room, self._bytes
        copied._first, copied._last = list(self._first), deque(self._last)
        return copied

    def cleaned(self, clean: Callable[[str], str]) -> Self:
        """Return the lines as ``clean`` returns them, within the same bounds, and long ones cut."""
        found = type(self)()
        for line in self._first:
            found._add_cut(clean(line))
        if self.dropped:
            found._drop(self.dropped)
        for line in self._last:
            found._add_cut(clean(line))
        return found

    def _add_cut(self, line: str) -> None:
        """Add what fits of a line: the beginning of one that is among the first, the end of another one."""
        if 1 < self._room < _size(line) and _size(line) > FIRST_BYTES:
            beginning = line.encode()[: self._room - 1].decode(errors="ignore")
            self.add(beginning)
            self._room, line = 0, line[len(beginning) :]
        self.add(_cut(line))

    def _drop(self, number: int) -> None:
        """Note that ``number`` lines are missing behind those that were added so far."""
        self.dropped += number + len(self._last)
        self._last.clear()
        self._room = self._bytes = 0

    def __str__(self) -> str:
        limits = {"first": FIRST_BYTES // KIB, "last": LAST_BYTES // KIB}
        dropped = DROPPED.format(count=self.dropped, **limits) if self.dropped else ""
        return _joined(self._first) + dropped + _joined(self._last)


def _joined(lines: list[str] | deque[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _cut(line: str) -> str:
    data = line.encode()
    return line if len(data) < LAST_BYTES else CUT + data[-KEPT_OF_LINE:].decode(errors="ignore")


def _size(line: str) -> int:
    size = len(line.encode())
    return 1 + (size if size < LAST_BYTES else KEPT_OF_LINE + len(CUT))
