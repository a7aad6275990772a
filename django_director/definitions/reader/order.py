"""Checks what comes before what: `needs`, the order of lists, cycles, and the steps that expressions use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from django_director.definitions.cycles import cycle_text, find_order
from django_director.definitions.fields.drafts import Draft
from django_director.definitions.fields.expressions import Use
from django_director.definitions.fields.scopes import IN_MAP, IN_STEP, check_use
from django_director.definitions.source import codes
from django_director.definitions.source.nodes import Node
from django_director.definitions.source.report import Report

from .step_names import Names, not_before

MAX_CYCLES: Final = 20

Wanted = dict[int, list[tuple[Use, Draft, Report]]]
"""The steps that expressions use, by the point of the order at which they are used."""


def check_order(drafts: list[Draft], names: Names, report: Report) -> None:
    """Report what is wrong with `needs` and with the steps that expressions use. The drafts have their ids."""
    if not any(draft.uses or draft.needs is not None for draft in _all(names.drafts)):
        # The order of lists alone is never wrong.
        return
    order = _Order(names)
    order.number(drafts)
    order.link_needs(report)
    order.link(drafts, [], None)
    order.report_cycles(report)
    order.check_uses(report)


def _all(drafts: Iterable[Draft]) -> Iterator[Draft]:
    """Yield the drafts, and what stands in a map without an id of its own."""
    for draft in drafts:
        yield draft
        if draft.kind == "map":
            yield from draft.members


@dataclass(slots=True)
class _Order:
    """A graph of points: where a step begins and where it ends. Only containers have two different points."""

    names: Names
    begins: dict[int, int] = field(default_factory=dict)
    """The point where a draft begins, by the identity of the draft."""
    ends: dict[int, int] = field(default_factory=dict)
    points: list[Draft] = field(default_factory=list)
    before: list[list[int]] = field(default_factory=list)
    needed: dict[int, list[tuple[Draft, Node]]] = field(default_factory=dict)
    """What `needs` of a draft names, by the identity of the draft."""

    def number(self, drafts: Iterable[Draft]) -> None:
        for draft in drafts:
            self.begins[id(draft)] = self.add(draft)
            if draft.is_container:
                self.number(draft.members)
                self.ends[id(draft)] = self.add(draft)
            else:
                self.ends[id(draft)] = self.begins[id(draft)]

    def add(self, draft: Draft) -> int:
        self.points.append(draft)
        self.before.append([])
        return len(self.points) - 1

    def link_needs(self, report: Report) -> None:
        for draft in self.names.drafts:
            if draft.needs is not None and id(draft) in self.begins:
                own = report.inside(step=draft.id)
                found = ((self.names.needed(draft, name, node, own), node) for name, node in draft.needs)
                self.needed[id(draft)] = [(target, node) for target, node in found if target is not None]

    def link(
        self, members: Sequence[Draft], before: list[int], head: int | None, *, is_chain: bool = True
    ) -> None:
        """Link the points of a list. ``head`` decides whether its container runs, so all inside comes after it."""
        for draft in members:
            begin, end = self.begins[id(draft)], self.ends[id(draft)]
            if draft.needs is None:
                self.before[begin] = before
            else:
                needed = [self.ends[id(target)] for target, _ in self.needed[id(draft)]]
                self.before[begin] = needed if head is None else [*needed, head]
            if draft.is_container:
                inner = begin if draft.is_conditional else head
                self.link(draft.members, [begin], inner, is_chain=draft.kind == "chain")
                self.before[end] = [begin, *(self.ends[id(member)] for member in draft.members)]
            if is_chain:
                before = [end]

    def report_cycles(self, report: Report) -> None:
        for _ in range(MAX_CYCLES):
            cycle = find_order(self.before)[1]
            if not cycle:
                return
            following = dict(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
            draft, node = self.blamed(following)
            ids = [self.points[point].id for point in cycle]
            message = f"these steps wait for each other: {cycle_text(ids)}"
            hint = "change a `needs`; a step without one waits for the entry before it"
            report.inside(step=draft.id).error(codes.CYCLE, node, message, hint)
            # Cut it there, to find those that are left.
            self.before[self.begins[id(draft)]] = []

    def blamed(self, following: dict[int, int]) -> tuple[Draft, Node]:
        """Return the last `needs` of the file that closes a cycle: the order of a list alone never makes one."""
        found = [
            (self.points[point], node)
            for point in following
            for target, node in self.needed.get(id(self.points[point]), ())
            if self.ends[id(target)] == following[point]
        ]
        return max(found, key=lambda pair: (pair[1].line, pair[1].column))

    def check_uses(self, report: Report) -> None:
        """Report each step that an expression uses and that does not come before it."""
        wanted: Wanted = {}
        for draft in self.names.drafts:
            if draft.kind == "map":
                self.check_body(draft, wanted, report)
            if id(draft) in self.begins and draft.uses:
                self.want(draft, draft, IN_STEP, wanted, report)
        if wanted:
            self.check_wanted(wanted)

    def check_body(self, draft: Draft, wanted: Wanted, report: Report) -> None:
        own: set[str] = set()
        for member in draft.members:
            if member.uses:
                self.want(member, draft, IN_MAP, wanted, report, own)
            own.add(member.id)

    def want(
        self,
        draft: Draft,
        at: Draft,
        scope: frozenset[str],
        wanted: Wanted,
        report: Report,
        own: Collection[str] = (),
    ) -> None:
        """Note the steps that ``draft`` uses and that must come before ``at``."""
        report = report.inside(step=draft.id)
        for use in draft.uses:
            if check_use(use, scope, report) and use.reference.root == "tasks":
                target = self.names.used(use, report, at, own)
                if target is not None:
                    wanted.setdefault(self.begins[id(at)], []).append((use, target, report))

    def check_wanted(self, wanted: Wanted) -> None:
        """Check all noted uses. Each used step is a bit; a set of bits is dropped when no point needs it."""
        targets = {self.ends[id(target)] for uses in wanted.values() for _, target, _ in uses}
        ordered = find_order(self.before)[0]
        bits = {point: 1 << number for number, point in enumerate(p for p in ordered if p in targets)}
        left = [0] * len(self.before)
        for points in self.before:
            for point in points:
                left[point] += 1
        reached: dict[int, int] = {}
        for point in ordered:
            total = 0
            for other in self.before[point]:
                total |= reached[other] | bits.get(other, 0)
                left[other] -= 1
                if not left[other]:
                    del reached[other]
            if left[point]:
                reached[point] = total
            for use, target, report in wanted.get(point, ()):
                if not total & bits.get(self.ends[id(target)], 0):
                    not_before(use, target, report)
