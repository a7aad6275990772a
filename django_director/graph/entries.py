"""The entries of a definition, and what each waits for.

An entry is a step or a container. A container with a condition has a head beside it, a row of its own: that waits
for what the container waits for, and its members wait for the head. A container without rows stands for what is
before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from django_director.definitions import Container, Step, TriggerRule

from .shapes import NOTHING, Shape


@dataclass(slots=True, eq=False)
class Source:
    """What something waits for; shared by all that wait for the same."""

    entries: tuple[Entry, ...] = ()
    guard: Entry | None = None
    """The head that must let it run, for what waits for something outside of the head's container too."""
    around: Entry | None = None
    """The head of the nearest container with a condition around those that wait."""
    value: Source | None = None
    """Where what it receives comes from, if not from its entries."""
    shape: Shape | None = None
    known: Source | None = None
    depth: int | None = None


@dataclass(slots=True, eq=False)
class Entry:
    step: Step
    outer: Entry | None
    """The container around it; of a head, the one around its container."""
    members: list[Entry] = field(default_factory=list)
    head: Entry | None = None
    body: Entry | None = None
    """Of a head: its container."""
    source: Source = field(default_factory=Source)
    is_empty: bool = False
    """It has no row: it stands for what is before it."""
    position: int = -1
    depth: int = 0
    end_depth: int = 0
    """The depth of what comes after it."""
    is_followed: bool = False
    """Something in the same container waits for it."""
    is_covered: bool = False
    """Its failure makes another entry of the same container fail."""
    runs_on: bool = False
    begin: int = 0
    end: int = 0
    ends_: list[int] | None = None
    counted_: list[int] | None = None
    shape_: Shape | None = None

    @property
    def has_row(self) -> bool:
        return self.body is not None or not isinstance(self.step, Container)

    @property
    def passes_on(self) -> bool:
        """Whether its result is what it received."""
        return self.step.passes_on

    @property
    def rule(self) -> TriggerRule:
        return self.step.rule

    def rows(self) -> Iterator[Entry]:
        """What has a row, in the order of the file."""
        if self.has_row:
            yield self
        if self.head is not None:
            yield self.head
        for member in self.members:
            yield from member.rows()

    def may_skip(self) -> bool:
        """Whether it can be skipped although others of its container are not."""
        if self.step.when is not None or not self.rule.never_skips:
            return True
        inner = [member for member in self.members if not member.is_empty]
        return bool(inner) and all(member.may_skip() for member in inner)

    def ends(self) -> list[int]:
        """The tasks after which nothing comes in it."""
        if self.ends_ is None:
            last = [member for member in self.members if not member.is_followed]
            self.ends_ = self.flat(last, Entry.ends)
        return self.ends_

    def counted(self) -> list[int]:
        """The tasks that tell how it ended: as few as can be.

        A failure that fails another entry in turn needs no counting. Where all of the others may be skipped,
        nothing but all entries tells whether the whole was.
        """
        if self.counted_ is None:
            telling = self.telling()
            if telling and all(member.may_skip() for member in telling):
                telling = self.members
            self.counted_ = self.flat(telling, Entry.counted)
        return self.counted_

    def telling(self) -> list[Entry]:
        """The members whose failures tell of all failures."""
        return [member for member in self.members if not member.is_covered and not member.is_empty]

    def flat(self, members: Sequence[Entry], of: object) -> list[int]:
        if self.has_row:
            return [self.position]
        if self.head is not None and all(member.is_empty for member in self.members):
            return [self.head.position]
        return [position for member in members if not member.is_empty for position in of(member)]  # type: ignore[operator]

    def shape(self) -> Shape:
        """What its result is made of."""
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
    """The same with what stands for what is before it replaced by that."""
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
            # It stands outside of that container, which is a step like another to it.
            entries[before.guard] = None
    if not entries and guard is not None:
        entries, guard = {guard: None}, None
    return Source(tuple(entries), guard, source.around)


def received(source: Source) -> Shape:
    """What comes from a source: one entry's result, or the list of them in the order written."""
    if source.value is not None:
        return received(source.value)
    if source.shape is None:
        shapes = tuple(entry.shape() for entry in source.entries)
        source.shape = NOTHING if not shapes else shapes[0] if len(shapes) == 1 else Shape(members=shapes)
    return source.shape


def is_inside(entry: Entry, container: Entry | None) -> bool:
    """Whether an entry stands in a container, at any depth."""
    around = entry.outer
    while around is not None and around is not container:
        around = around.outer
    return around is container
