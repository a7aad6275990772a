"""Ranges of positions, and shapes: how a value is put together from the results of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

Span = tuple[int, int]
"""A half-open range of positions."""
MAX_LEVELS: Final = 32
"""How deep the lists of a shape may be nested: as deep as containers may. Wait steps in groups could exceed it."""


def spans(positions: Iterable[int]) -> tuple[Span, ...]:
    """Return positions as half-open ranges, as few as possible and in ascending order."""
    merged: list[Span] = []
    for position in sorted(set(positions)):
        if merged and merged[-1][1] == position:
            merged[-1] = (merged[-1][0], position + 1)
        else:
            merged.append((position, position + 1))
    return tuple(merged)


def expand(ranges: Iterable[Span]) -> Iterator[int]:
    """Yield the positions in some ranges."""
    for start, stop in ranges:
        yield from range(start, stop)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a value is put together from results: it is nothing, the result of one task, or a list of shapes."""

    position: int | None = None
    members: tuple[Shape, ...] | None = None
    head: int | None = None
    """The head of a container with a condition. If it has no result, the container was skipped and has none."""

    def assemble(self, results: Mapping[int, Any]) -> object:
        """Build the value from the results by position; a missing one is ``None``."""
        if self.head is not None and results.get(self.head) is None:
            return None
        if self.members is not None:
            return [member.assemble(results) for member in self.members]
        return None if self.position is None else results.get(self.position)

    def spans(self) -> tuple[Span, ...]:
        """Return the positions of the tasks whose results are needed."""
        return self._spans

    @cached_property
    def parts(self) -> int:
        """How many results it contains; a result that stands in it several times counts each time."""
        if self.members is not None:
            return sum(member.parts for member in self.members)
        return 0 if self.position is None else 1

    @cached_property
    def levels(self) -> int:
        """How many levels deep its lists are nested."""
        return 0 if self.members is None else 1 + max((member.levels for member in self.members), default=0)

    @cached_property
    def _spans(self) -> tuple[Span, ...]:
        return spans(self._positions())

    def _positions(self) -> Iterator[int]:
        if self.head is not None:
            yield self.head
        if self.position is not None:
            yield self.position
        for member in self.members or ():
            yield from member._positions()


NOTHING: Final = Shape()
