"""The entries of a definition, and what each of them waits for.

An entry is a step or a container. A container with a condition has a head, which is an entry with a row of its
own: the head waits for what the container waits for, and the members wait for the head. A container without rows
stands for the entries before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from django_director.definitions import Container, Step, TriggerRule

from .shapes import NOTHING, Shape


@dataclass(slots=True, eq=False)
class Source:
    """What an entry waits for; entries that wait for the same share one source."""

    entries: tuple[Entry, ...] = ()
    guard: Entry | None = None
    """A head that must be true, for entries that also wait for something outside of that head's container."""
    around: Entry | None = None
    """The head of the nearest container with a condition around the entries that wait."""
    value: Source | None = None
    """The source of the received value, if it does not come from ``entries``."""
    shape: Shape | None = None
    known: Source | None = None
    depth: int | None = None


@dataclass(slots=True, eq=False)
class Entry:
    """A step, a container, or the head of a container with a condition."""

    step: Step
    outer: Entry | None
    """The container around it; for a head, the container around its own."""
    members: list[Entry] = field(default_factory=list)
    head: Entry | None = None
    body: Entry | None = None
    """For a head: its container."""
    source: Source = field(default_factory=Source)
    is_empty: bool = False
    """Whether it has no rows, and so stands for the entries before it."""
    position: int = -1
    depth: int = 0
    end_depth: int = 0
    """The depth of the entries that come after it."""
    is_followed: bool = False
    """Whether an entry of the same container waits for it."""
    is_covered: bool = False
    """Whether its failure makes another entry of the same container fail."""
    runs_on: bool = False
    begin: int = 0
    end: int = 0
    ends_: list[int] | None = None
    counted_: list[int] | None = None
    shape_: Shape | None = None

    @property
    def has_row(self) -> bool:
        """Whether it has a row in a run: a step and a head have one."""
        return self.body is not None or not isinstance(self.step, Container)

    @property
    def passes_on(self) -> bool:
        """Whether its result is the value that it received."""
        return self.step.passes_on

    @property
    def rule(self) -> TriggerRule:
        """The trigger rule of its step."""
        return self.step.rule

    def rows(self) -> Iterator[Entry]:
        """Yield the entries in it that have a row, in the order of the file."""
        if self.has_row:
            yield self
        if self.head is not None:
            yield self.head
        for member in self.members:
            yield from member.rows()

    def may_skip(self) -> bool:
        """Whether it can be skipped while other entries of its container are not."""
        if self.step.when is not None or not self.rule.never_skips:
            return True
        inner = [member for member in self.members if not member.is_empty]
        return bool(inner) and all(member.may_skip() for member in inner)

    def ends(self) -> list[int]:
        """Return the positions of its last tasks, after which no other task of it comes."""
        if self.ends_ is None:
            last = [member for member in self.members if not member.is_followed]
            self.ends_ = self.flat(last, Entry.ends)
        return self.ends_

    def counted(self) -> list[int]:
        """Return the positions of the tasks whose statuses tell how it has ended: as few as possible.

        An entry whose failure makes another one fail need not be counted. But if all entries that remain may be
        skipped, all members are counted: else it could not be told whether the whole container was skipped.
        """
        if self.counted_ is None:
            telling = self.telling()
            if telling and all(member.may_skip() for member in telling):
                telling = self.members
            self.counted_ = self.flat(telling, Entry.counted)
        return self.counted_

    def telling(self) -> list[Entry]:
        """Return the members without which no failure would go unnoticed: those that are not covered by others."""
        return [member for member in self.members if not member.is_covered and not member.is_empty]

    def flat(self, members: Sequence[Entry], of: Callable[[Entry], list[int]]) -> list[int]:
        """Return its own position if it has a row; else the positions that ``of`` returns for the ``members``."""
        if self.has_row:
            return [self.position]
        if self.head is not None and all(member.is_empty for member in self.members):
            return [self.head.position]
        return [position for member in members if not member.is_empty for position in of(member)]

    def shape(self) -> Shape:
        """Return the shape of its result."""
        if self.shape_ is None:
            self.shape_ = self._shape()
        return self.shape_

    def _shape(self) -> Shape:
        if self.passes_on:
            return received(self.source)
        if self.has_row:
            return Shape(position=self.position)
        if cast(Container, self.step).kind == "chain":
            return self.members[-1].shape() if self.members else NOTHING
        members = tuple(member.shape() for member in self.members)
        return Shape(members=members, head=None if self.head is None else self.head.position)


def effective(source: Source) -> Source:
    """Return the source without empty entries: each is replaced by the entries before it, for which it stands."""
    if source.known is None:
        source.known = source
        if any(entry.is_empty for entry in source.entries):
            source.known = _without_empty(source)
    return source.known


def _without_empty(source: Source) -> Source:
    entries: dict[Entry, None] = {}
    guard = source.guard
    for entry in source.entries:
        if not entry.is_empty:
            entries[entry] = None
            continue
        before = effective(entry.source)
        entries |= dict.fromkeys(before.entries)
        if before.guard is None or before.guard is source.around:
            guard = guard or before.guard
        elif source.around is None or not is_inside(source.around, before.guard.body):
            # The waiting entry stands outside of that head's container: for it the head is a step like any other.
            entries[before.guard] = None
    if not entries and guard is not None:
        entries, guard = {guard: None}, None
    return Source(tuple(entries), guard, source.around)


def received(source: Source) -> Shape:
    """Return the shape of the value that comes from a source: one result, or the list of several."""
    if source.value is not None:
        return received(source.value)
    if source.shape is None:
        shapes = tuple(entry.shape() for entry in source.entries)
        source.shape = NOTHING if not shapes else shapes[0] if len(shapes) == 1 else Shape(members=shapes)
    return source.shape


def is_inside(entry: Entry, container: Entry | None) -> bool:
    """Whether an entry stands inside a container, at any depth."""
    around = entry.outer
    while around is not None and around is not container:
        around = around.outer
    return around is container
