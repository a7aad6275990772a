"""Compiles a definition: numbers its tasks, and puts junctions between tasks and those that wait for them.

Tasks are numbered by depth, then by their place in the file. So tasks that become ready together nearly always
have one span of positions, and need one UPDATE. An entry for which others wait has a junction that counts its
tasks. With one task the junction is only a link. With several it has a counter in the database, and above
``ARITY`` tasks a tree of counters, so that not all tasks write the same row. A step that waits for several entries
has a junction that counts these entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from django_director.definitions import Definition, MapStep, TaskStep

from .compiled_graph import ARITY, Graph, Junction, Node, Release
from .entries import Entry, Source, effective, received
from .entry_order import Entries
from .shapes import MAX_LEVELS, NOTHING, Shape, Span, spans

Draft = dict[str, Any]
Heads = dict[str, list[int]]
"""By the name of a trigger rule: the positions of the steps that have it."""
Key = tuple[frozenset[Entry], Entry | None, bool]


@dataclass(slots=True)
class _Wait:
    """Tasks that wait for the same entries, with or without a guard."""

    entries: list[Entry]
    guard: Entry | None = None
    by_ends: bool = False
    """Whether only the last tasks of a container count: for `any_success` the success of one of them is enough."""
    heads: Heads = field(default_factory=dict)
    fed: list[Draft] = field(default_factory=list)
    """The junctions of the single entries, which count at the junction of this wait."""

    @property
    def is_combination(self) -> bool:
        """Whether it waits for several entries, or for one and a guard."""
        return len(self.entries) > 1 or self.guard is not None

    @property
    def place(self) -> tuple[int, bool]:
        """The sort key: the position of the deepest task. A junction comes after all junctions that lead to it."""
        members = [max(self.counted(entry)) for entry in self.entries]
        if self.guard is not None:
            members.append(self.guard.position)
        return max(members), self.is_combination

    def counted(self, entry: Entry) -> list[int]:
        """Return the positions of the tasks that are counted for an entry."""
        return entry.ends() if self.by_ends else entry.counted()

    def of(self, entry: Entry) -> bool:
        """Whether only the last tasks of this entry count.

        A step is its own last task, so for it this is no matter.
        """
        return self.by_ends and not entry.has_row


def compile_definition(definition: Definition, content_hash: str = "") -> Graph:
    """Compile a definition.

    The time grows with the number of steps and of `needs`, but not with that of all pairs.
    """
    return _Compiler(definition).compile(content_hash)


class _Compiler:
    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.entries = Entries(definition)
        self.made: list[Draft] = []
        self.upstream: dict[tuple[Entry, ...], tuple[int, ...]] = {(): ()}
        self.rows_in: dict[Entry, tuple[Span, ...]] = {}
        """The positions of the members of groups with a `batch`."""

    def compile(self, content_hash: str) -> Graph:
        nodes: list[Draft] = [{}] * len(self.entries.rows)
        for entry in sorted(self.entries.rows, key=lambda entry: entry.position):
            # In the order of the graph: a shape is worked out when the shapes in it are known already.
            nodes[entry.position] = self.node(entry)
        starts, waits = self.waits()
        self.join_all(waits, nodes)
        bodies = list(_bodies(nodes))
        return Graph(
            definition=self.definition,
            content_hash=content_hash,
            nodes=tuple(_node(draft) for draft in nodes),
            bodies=tuple(bodies),
            junctions=tuple(Junction(**_frozen(draft)) for draft in self.made),
            starts=_releases(starts),
            file_order=tuple(entry.position for entry in self.entries.rows),
            hooks=self.hooks(len(nodes) + len(bodies)),
            result=self.entries.root.shape(),
            largest=self.largest(),
        )

    def largest(self) -> Shape:
        """Return the shape of ``Graph.largest``."""
        if not any(entry.passes_on for entry in self.entries.rows):
            return NOTHING
        shapes = [entry.shape() for entry in (*self.entries.by_id.values(), self.entries.root)]
        return max(shapes, key=lambda shape: (shape.levels if shape.levels > MAX_LEVELS else 0, shape.parts))

    def node(self, entry: Entry) -> Draft:
        shape = received(entry.source)
        if entry.passes_on:
            entry.shape()
        if isinstance(entry.step, MapStep):
            # Its `over` says what it reads.
            shape = NOTHING
        inside = () if entry.body is None else _inside(entry.body)
        return {
            "position": entry.position,
            "step": entry.step,
            "depth": entry.depth,
            "shape": shape,
            "upstream": self.upstream_of(effective(entry.source).entries),
            "junctions": [],
            "guards": [],
            "inside": spans(inside),
            "containers": _containers(entry),
            "runs_on": entry.runs_on,
            **self.batch_of(entry),
        }

    def batch_of(self, entry: Entry) -> Draft:
        """Return the fields of a node that runs in batches with the other members of its group."""
        around = entry.outer
        if around is None or around.step.batch is None or not isinstance(entry.step, TaskStep):
            return {}
        if around not in self.rows_in:
            self.rows_in[around] = spans(sorted(member.position for member in around.members))
        row = self.rows_in[around]
        # If they are no neighbours each runs by itself: the batch is about speed.
        return {"batch": around.step.batch, "row": row[0]} if len(row) == 1 else {}

    def upstream_of(self, entries: tuple[Entry, ...]) -> tuple[int, ...]:
        known = self.upstream.get(entries)
        if known is None:
            ends = dict.fromkeys(position for entry in entries for position in entry.ends())
            known = self.upstream[entries] = tuple(ends)
        return known

    def waits(self) -> tuple[Heads, list[_Wait]]:
        """Return the tasks that wait for nothing, and all others grouped by what they wait for, in file order."""
        starts: Heads = {}
        waits: dict[Key, _Wait] = {}
        by_source: dict[tuple[Source, bool], Heads] = {}
        for row in self.entries.rows:
            source = effective(row.source)
            by_ends = row.rule.counts_ends and not all(entry.has_row for entry in source.entries)
            heads = by_source.get((source, by_ends))
            if heads is None:
                heads = by_source[source, by_ends] = self.heads(source, by_ends, starts, waits)
            heads.setdefault(row.rule.name, []).append(row.position)
        return starts, list(waits.values())

    def heads(self, source: Source, by_ends: bool, starts: Heads, waits: dict[Key, _Wait]) -> Heads:
        entries = list(dict.fromkeys(source.entries))
        if not entries:
            return starts
        key = frozenset(entries), source.guard, by_ends
        wait = waits.setdefault(key, _Wait(entries, source.guard, by_ends))
        if wait.is_combination:
            for entry in entries:
                waits.setdefault((frozenset((entry,)), None, wait.of(entry)), _Wait([entry], None, wait.of(entry)))
        return wait.heads

    def join_all(self, waits: list[_Wait], nodes: list[Draft]) -> None:
        combinations: dict[tuple[Entry, bool], list[_Wait]] = {}
        for wait in waits:
            for entry in wait.entries if wait.is_combination else ():
                combinations.setdefault((entry, wait.of(entry)), []).append(wait)
        for wait in sorted(waits, key=lambda wait: wait.place):
            if wait.is_combination:
                self.combine(wait, nodes)
                continue
            (entry,) = wait.entries
            draft = self.join(_members(wait.counted(entry), nodes), heads=wait.heads, by_ends=wait.by_ends)
            for combination in combinations.get((entry, wait.by_ends), ()):
                combination.fed.append(draft)
        root = self.entries.root
        if self.entries.rows:
            self.join(_members(root.flat(root.telling(), Entry.counted), nodes), is_end=True)

    def combine(self, wait: _Wait, nodes: list[Draft]) -> None:
        members = [draft.setdefault("feeds", []) for draft in wait.fed]
        if wait.guard is not None:
            members.append(nodes[wait.guard.position]["guards"])
        self.join(members, heads=wait.heads, entries=len(wait.fed))

    def join(self, members: Sequence[list[int]], **then: object) -> Draft:
        """Make a junction with all its levels, and add its number to each of the ``members``."""
        size = len(members)
        while len(members) > ARITY:
            level = []
            for start in range(0, len(members), ARITY):
                level.append(self.junction(members[start : start + ARITY])["parent"])
            members = level
        draft = self.junction(members)
        draft.update(then, size=size)
        return draft

    def junction(self, members: Sequence[list[int]]) -> Draft:
        draft: Draft = {"seq": len(self.made), "total": len(members), "parent": []}
        self.made.append(draft)
        for member in members:
            member.append(draft["seq"])
        return draft

    def hooks(self, behind: int) -> dict[str, tuple[Node, ...]]:
        positions = count(behind)
        hooks = sorted(self.definition.hooks.items())
        return {outcome: tuple(_hook_chain(steps, positions)) for outcome, steps in hooks}


def _bodies(nodes: list[Draft]) -> Iterator[Node]:
    """Yield the tasks in maps, numbered after all others; note in each map the positions of its tasks."""
    positions = count(len(nodes))
    for draft in nodes:
        if isinstance(draft["step"], MapStep):
            body = list(_body(draft, positions))
            draft["body"] = (body[0].position, body[-1].position + 1)
            yield from body


def _body(draft: Draft, positions: Iterator[int]) -> Iterator[Node]:
    """Yield the tasks of a map. The first receives the item, each other one the result of the task before it."""
    shape, upstream = NOTHING, draft["upstream"]
    for place, step in enumerate(draft["step"].body):
        position = next(positions)
        yield Node(
            position=position,
            step=step,
            depth=draft["depth"],
            shape=shape,
            upstream=upstream,
            containers=(*draft["containers"], draft["step"].id),
            map_position=draft["position"],
            place=place,
            batch=(draft["step"].batch or 0) if len(draft["step"].body) == 1 else 0,
            runs_on=draft["runs_on"] or step.rule.runs_after_failures,
        )
        shape, upstream = Shape(position=position), (position,)


def _hook_chain(steps: Iterable[TaskStep], positions: Iterator[int]) -> Iterator[Node]:
    """Yield the hooks of an outcome; each receives the result of the hook before it."""
    shape = NOTHING
    upstream: tuple[int, ...] = ()
    for depth, step in enumerate(steps):
        position = next(positions)
        yield Node(position=position, step=step, depth=depth, shape=shape, upstream=upstream, is_hook=True)
        shape, upstream = Shape(position=position), (position,)


def _members(positions: Iterable[int], nodes: list[Draft]) -> list[list[int]]:
    return [nodes[position]["junctions"] for position in sorted(positions)]


def _inside(container: Entry) -> Iterator[int]:
    for member in container.members:
        yield from (row.position for row in member.rows())


def _containers(entry: Entry) -> tuple[str, ...]:
    ids = [] if entry.body is None else [entry.step.id]
    around = entry.outer
    while around is not None and around.outer is not None:
        ids.append(around.step.id)
        around = around.outer
    return tuple(reversed(ids))


def _releases(heads: Heads) -> tuple[Release, ...]:
    return tuple(Release(rule=rule, spans=spans(positions)) for rule, positions in heads.items())


def _node(draft: Draft) -> Node:
    return Node(**draft | {"junctions": tuple(draft["junctions"]), "guards": tuple(draft["guards"])})


def _frozen(draft: Draft) -> Draft:
    (parent,) = draft["parent"] or (None,)
    return draft | {
        "parent": parent,
        "feeds": tuple(draft.get("feeds", ())),
        "heads": _releases(draft.get("heads", {})),
    }
