"""The entries of a definition, and what each waits for.

An entry is a step or a container. A container with a condition has a head beside it, a row of its own: that waits
for what the container waits for, and its members wait for the head. A container without rows stands for what is
before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from django_director.definitions.cycles import in_order
from django_director.definitions.model import Container, Definition, Rule, Step, TaskStep

from .rules import NEVER_SKIPS, PASSES_FAILURES_ON, RUNS_ON
from .shapes import NOTHING, Shape

ROOT: Final = Container(id="", kind="chain")


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
    step: TaskStep | Container
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
    def rule(self) -> Rule:
        return self.step.trigger_rule

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
        if self.step.when is not None or self.rule not in NEVER_SKIPS:
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
        if self.has_row:
            return Shape(position=self.position)
        if cast(Container, self.step).kind == "chain":
            return self.members[-1].shape() if self.members else NOTHING
        members = tuple(member.shape() for member in self.members)
        return Shape(members=members, head=None if self.head is None else self.head.position)


class Entries:
    """All entries of a definition, numbered and in their order."""

    def __init__(self, definition: Definition) -> None:
        self.by_id: dict[str, Entry] = {}
        self.root = Entry(step=ROOT, outer=None)
        self._read(definition.tasks, self.root, spared=False)
        self.rows = list(self.root.rows())
        self._place(self.root, Source(), None)
        self._measure()
        self._number()
        self._mark()

    def _read(self, steps: Sequence[Step], outer: Entry, *, spared: bool) -> None:
        for step in steps:
            assert isinstance(step, TaskStep | Container), "`definitions.features` keeps others away"
            runs_on = spared or step.trigger_rule in RUNS_ON
            entry = Entry(step=step, outer=outer, runs_on=runs_on)
            outer.members.append(entry)
            self.by_id[step.id] = entry
            if isinstance(step, Container):
                if step.is_conditional:
                    entry.head = Entry(step=step, outer=outer, body=entry, runs_on=runs_on)
                self._read(step.members, entry, spared=runs_on)
                entry.is_empty = entry.head is None and all(member.is_empty for member in entry.members)

    def _place(self, outer: Entry, before: Source, around: Entry | None) -> None:
        """Note what each member of a container waits for; ``before`` is what the first of them do."""
        is_chain = cast(Container, outer.step).kind == "chain"
        last = outer.members[-1] if outer.members else None
        for entry in outer.members:
            entry.source = before if entry.step.needs is None else self._needed(entry.step.needs, around)
            if entry.head is not None:
                entry.head.source = entry.source
                inside = Source((entry.head,), around=entry.head, value=entry.source)
                self._place(entry, inside, entry.head)
            elif entry.members:
                self._place(entry, entry.source, around)
            if is_chain and entry is not last:
                before = Source((entry,), around=around)

    def _needed(self, needs: tuple[str, ...], around: Entry | None) -> Source:
        entries = tuple(self.by_id[name] for name in needs)
        if not entries:
            return Source((around,) if around else (), around=around, shape=NOTHING)
        guard = around if around and not all(_is_inside(entry, around.body) for entry in entries) else None
        return Source(entries, guard, around)

    def _measure(self) -> None:
        """Give each entry its depth: the longest way to it."""
        points: list[tuple[Entry, bool]] = []
        self._list(self.root, points)
        order: Sequence[int] = range(len(points))
        if any(entry.step.needs is not None for entry in self.by_id.values()):
            order = in_order([self._before(entry, is_end) for entry, is_end in points])[0]
        for point in order:
            entry, is_end = points[point]
            if is_end:
                entry.end_depth = max([entry.depth, *(member.end_depth for member in entry.members)])
                continue
            entry.depth = _depth(entry.source) if entry.head is None else entry.head.end_depth
            if entry.has_row:
                entry.end_depth = entry.depth + 1

    def _list(self, entry: Entry, points: list[tuple[Entry, bool]]) -> None:
        if entry.head is not None:
            self._list(entry.head, points)
        entry.begin = entry.end = len(points)
        points.append((entry, False))
        if not entry.has_row:
            for member in entry.members:
                self._list(member, points)
            entry.end = len(points)
            points.append((entry, True))

    def _before(self, entry: Entry, is_end: bool) -> list[int]:
        if is_end:
            return [entry.begin, *(member.end for member in entry.members)]
        if entry.head is not None:
            return [entry.head.end]
        if entry.outer is not None and entry.source is entry.outer.source:
            return [entry.outer.begin]
        known = effective(entry.source)
        return [needed.end for needed in (*known.entries, known.guard) if needed is not None]

    def _number(self) -> None:
        """By depth, then by the place in the file: what becomes ready together is mostly one span."""
        for position, entry in enumerate(sorted(self.rows, key=lambda entry: entry.depth)):
            entry.position = position

    def _mark(self) -> None:
        seen: set[tuple[int, int, bool]] = set()
        for row in self.rows:
            strict = row.rule in PASSES_FAILURES_ON
            source = effective(row.source)
            key = (id(source), id(row.outer), strict)
            if key not in seen:
                seen.add(key)
                for entry in source.entries:
                    _mark(entry, row, strict=strict)


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
        elif source.around is None or not _is_inside(source.around, before.guard.body):
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


def _depth(source: Source) -> int:
    if source.depth is None:
        known = effective(source)
        before = (*known.entries, known.guard)
        source.depth = max((entry.end_depth for entry in before if entry is not None), default=0)
    return source.depth


def _is_inside(entry: Entry, container: Entry | None) -> bool:
    around = entry.outer
    while around is not None and around is not container:
        around = around.outer
    return around is container


def _mark(entry: Entry, row: Entry, *, strict: bool) -> None:
    """Note that ``row`` waits for ``entry``, when both stand in one container."""
    around = row.outer
    while around is not None and around is not entry.outer:
        # Whether what is in there runs is not a matter of this entry alone.
        strict = strict and around.head is None
        around = around.outer
    if around is not None and entry.body is None:
        entry.is_followed = True
        entry.is_covered = entry.is_covered or strict
