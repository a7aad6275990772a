"""Makes the entries of a definition: what each waits for, how deep it stands, and which failures cover others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from django_director.definitions import Container, Definition, Step
from django_director.definitions.cycles import find_order

from .entries import Entry, Source, effective, is_inside
from .shapes import NOTHING

ROOT: Final = Container(id="", kind="chain")


class Entries:
    """All entries of a definition, with their sources, depths and positions."""

    def __init__(self, definition: Definition) -> None:
        self.by_id: dict[str, Entry] = {}
        self.root = Entry(step=ROOT, outer=None)
        self._add_entries(definition.tasks, self.root, spared=False)
        self.rows = list(self.root.rows())
        self._place(self.root, Source(), None)
        self._measure()
        self._number()
        self._mark()

    def _add_entries(self, steps: Sequence[Step], outer: Entry, *, spared: bool) -> None:
        for step in steps:
            runs_on = spared or step.rule.runs_after_failures
            entry = Entry(step=step, outer=outer, runs_on=runs_on)
            outer.members.append(entry)
            self.by_id[step.id] = entry
            if isinstance(step, Container):
                if step.is_conditional:
                    entry.head = Entry(step=step, outer=outer, body=entry, runs_on=runs_on)
                self._add_entries(step.members, entry, spared=runs_on)
                entry.is_empty = entry.head is None and all(member.is_empty for member in entry.members)

    def _place(self, outer: Entry, before: Source, around: Entry | None) -> None:
        """Set the source of each member of a container; ``before`` is the source of the first members."""
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
        guard = around if around and not all(is_inside(entry, around.body) for entry in entries) else None
        return Source(entries, guard, around)

    def _measure(self) -> None:
        """Set the depth of each entry: the length of the longest way to it."""
        points: list[tuple[Entry, bool]] = []
        self._list(self.root, points)
        order: Sequence[int] = range(len(points))
        if any(entry.step.needs is not None for entry in self.by_id.values()):
            order = find_order([self._before(entry, is_end) for entry, is_end in points])[0]
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
        """Set the position of each row: by depth, then by the place in the file.

        So tasks that become ready together mostly have one span of positions.
        """
        for position, entry in enumerate(sorted(self.rows, key=lambda entry: entry.depth)):
            entry.position = position

    def _mark(self) -> None:
        seen: set[tuple[int, int, bool]] = set()
        for row in self.rows:
            strict = row.rule.passes_failures_on
            source = effective(row.source)
            key = (id(source), id(row.outer), strict)
            if key not in seen:
                seen.add(key)
                for entry in source.entries:
                    _mark(entry, row, strict=strict)


def _depth(source: Source) -> int:
    if source.depth is None:
        known = effective(source)
        before = (*known.entries, known.guard)
        source.depth = max((entry.end_depth for entry in before if entry is not None), default=0)
    return source.depth


def _mark(entry: Entry, row: Entry, *, strict: bool) -> None:
    """Mark ``entry`` as followed, and perhaps covered, if ``row`` waits for it and both stand in one container."""
    around = row.outer
    while around is not None and around is not entry.outer:
        # A condition in between decides too whether `row` runs, so its failure does not follow from that of
        # `entry`.
        strict = strict and around.head is None
        around = around.outer
    if around is not None and entry.body is None:
        entry.is_followed = True
        entry.is_covered = entry.is_covered or strict
