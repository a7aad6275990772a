"""Finds the lines of a picture: between parts of one frame, or from one step to another across frames.

If a step waits for the ends of a whole frame, the line begins at the frame. So a group behind a group is
one line, however many members they have.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from django_director.graph import Graph

from .parts import Outline, Part

ACROSS: Final = 16
"""If more lines than this would lead from one frame to another, one line from frame to frame is drawn."""

Places = dict[int, list[int]]
"""Positions of steps by the place of the part that has them."""


@dataclass(frozen=True, slots=True)
class Join:
    """Parts that wait for parts, by their places in their frame: each of ``heads`` waits for all of ``ends``."""

    ends: tuple[int, ...]
    heads: tuple[int, ...]
    is_drawn: bool = True
    """Whether it is drawn as it stands; otherwise it says only what comes before what."""


@dataclass(slots=True)
class Edges:
    """The lines of a picture."""

    joins: dict[int, list[Join]] = field(default_factory=lambda: defaultdict(list))
    """By the number of the frame in which they are."""
    across: list[tuple[int, int]] = field(default_factory=list)
    """Positions of steps between which a line leads out of a frame, or into one."""


def boundaries(graph: Graph) -> Iterable[tuple[Sequence[int], Sequence[int]]]:
    """Yield positions together with those that wait for them. A group behind a group makes one pair."""
    heads: dict[int, list[int]] = {}
    ends: dict[int, tuple[int, ...]] = {}
    for node in graph.nodes:
        # Nodes that wait for the same tasks share one tuple.
        heads.setdefault(id(node.upstream), []).append(node.position)
        ends[id(node.upstream)] = node.upstream
    for key, upstream in ends.items():
        if upstream:
            yield upstream, heads[key]


def connect(graph: Graph, outline: Outline, is_open: frozenset[int]) -> Edges:
    """Return the lines between the parts that are shown."""
    finder = _Finder(is_open)
    for ends, heads in boundaries(graph):
        finder.enter(outline.root, ends, heads)
    finder.draw()
    for hooks in outline.hooks:
        finder.follow(hooks)
    return finder.edges


class _Finder:
    """Leads each pair of ends and heads down to the frames in which their parts differ."""

    def __init__(self, is_open: frozenset[int]) -> None:
        self.is_open = is_open
        self.edges = Edges()
        self.levels: list[tuple[Part, Places, Places]] = []
        self.before: dict[int, set[int]] = defaultdict(set)
        self.behind: dict[int, set[int]] = defaultdict(set)
        self.place_of: dict[int, dict[int, int]] = {}

    def enter(self, frame: Part, ends: Iterable[int], heads: Iterable[int]) -> None:
        """Note that ``heads`` wait for ``ends``, all of them in ``frame``."""
        self.before[frame.number].update(ends)
        self.behind[frame.number].update(heads)
        if frame.number not in self.is_open:
            return
        starts, targets = self._places(frame, ends), self._places(frame, heads)
        for place in starts.keys() & targets.keys():
            self.enter(frame.parts[place], starts[place], targets[place])
        if len(starts) > 1 or len(targets) > 1 or starts.keys() != targets.keys():
            self.levels.append((frame, starts, targets))

    def draw(self) -> None:
        """Make the joins of all levels, once it is known which steps begin and end each frame."""
        for frame, starts, targets in self.levels:
            partly_from = {place for place in starts if self._leaves_some(frame.parts[place], starts[place])}
            partly_to = {place for place in targets if self._enters_some(frame.parts[place], targets[place])}
            whole = Join(tuple(starts), tuple(targets))
            if partly_from or partly_to or starts.keys() & targets.keys():
                for start, target in itertools.product(starts, targets):
                    is_part = start in partly_from or target in partly_to
                    if start != target:
                        self._pair(frame, start, target, starts[start] if is_part else [], targets[target])
            else:
                self.edges.joins[frame.number].append(whole)

    def follow(self, frame: Part) -> None:
        """Join the parts of a frame in their order: hooks are a chain."""
        for place, part in enumerate(frame.parts):
            if place:
                self.edges.joins[frame.number].append(Join((place - 1,), (place,)))
            if part.is_frame:
                self.follow(part)

    def _pair(self, frame: Part, start: int, target: int, ends: Sequence[int], heads: Sequence[int]) -> None:
        is_exact = 0 < len(ends) * len(heads) <= ACROSS
        join = Join((start,), (target,), not is_exact)
        if join not in self.edges.joins[frame.number]:
            self.edges.joins[frame.number].append(join)
        if is_exact:
            self.edges.across += itertools.product(ends, heads)

    def _leaves_some(self, part: Part, ends: Sequence[int]) -> bool:
        """Whether only some of the last steps of an open frame are among ``ends``."""
        if part.number not in self.is_open:
            return False
        return not set(part.positions) - self.before[part.number] <= set(ends)

    def _enters_some(self, part: Part, heads: Sequence[int]) -> bool:
        """Whether only some of the first steps of an open frame are among ``heads``."""
        if part.number not in self.is_open:
            return False
        return not set(part.positions) - self.behind[part.number] <= set(heads)

    def _places(self, frame: Part, positions: Iterable[int]) -> Places:
        if frame.number not in self.place_of:
            places = enumerate(frame.parts)
            self.place_of[frame.number] = {each: place for place, part in places for each in part.positions}
        found: Places = defaultdict(list)
        for position in positions:
            found[self.place_of[frame.number][position]].append(position)
        return found
