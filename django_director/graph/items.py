"""Works out what becomes of the items of a map; each item passes through the chain of the tasks in the map.

The items are not in the graph, because their number is not known before the run. Their counters form a tree of
their own beside the junctions. The number of a counter tells its place in the tree, however many items there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from django_director.status import TASK_FINISHED, TaskStatus

from .compiled_graph import ARITY, Graph, Node
from .rules import Tally, tally_of, verdict

FIRST_COUNTER: Final = 1 << 32
"""The counters of maps have numbers from here on; those of junctions are smaller."""
LEVEL: Final = 1 << 24
"""The difference between the numbers of two levels of a map's tree of counters."""

Place = tuple[int, int]
"""A task inside of a map: the index of its item, and its position."""


@dataclass(slots=True)
class Way:
    """How an item continues after one of its tasks has ended."""

    ready: int | None = None
    """The position of the task that runs next; ``None``: none does."""
    settled: dict[int, TaskStatus] = field(default_factory=dict)
    """The positions of tasks that will never run, with the status that each gets."""
    tally: Tally | None = None
    """How the item counts, if it has ended; ``None`` also if ``is_open``."""
    is_open: bool = False
    """Whether the item has ended, but only the statuses of its earlier tasks tell how."""


def counters(position: int) -> tuple[int, int]:
    """Return the half-open range of the numbers of a map's counters."""
    return (position + 1) * FIRST_COUNTER, (position + 2) * FIRST_COUNTER


def counter(position: int, index: int) -> int:
    """Return the number of the counter at which an item counts."""
    return (position + 1) * FIRST_COUNTER + index // ARITY


def is_lowest(number: int) -> bool:
    """Whether items count at a counter, and not other counters."""
    return number % FIRST_COUNTER < LEVEL


def map_of_counter(number: int) -> int:
    """Return the position of the map to which a counter belongs."""
    return number // FIRST_COUNTER - 1


def above(number: int) -> int:
    """Return the number of the counter on the next level. For the topmost counter there is no such row."""
    base = number // FIRST_COUNTER * FIRST_COUNTER
    level, block = divmod(number - base, LEVEL)
    return base + (level + 1) * LEVEL + block // ARITY


def totals(position: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield the numbers of all counters of a map with ``count`` items, each with the number of its members."""
    base, level = counters(position)[0], 0
    while True:
        blocks = -(-count // ARITY)
        for block in range(blocks):
            yield base + level * LEVEL + block, min(ARITY, count - block * ARITY)
        if blocks == 1:
            return
        count, level = blocks, level + 1


def beginning(graph: Graph, node: Node) -> Way:
    """Return how each item of a map begins."""
    return _onward(graph, _body(graph, node), 0, Tally(1))


def onward(graph: Graph, node: Node, status: str) -> Way:
    """Return how an item continues when its task of ``node``, which stands in a map, has ended."""
    body = _body(graph, graph.nodes[_map_of(node)])
    return _onward(graph, body, node.place + 1, tally_of(status, is_forgiven=node.is_forgiven))


def item_tally(graph: Graph, statuses: Mapping[int, str]) -> Tally:
    """Return how an item counts, from the statuses of all its tasks: failed if one is, skipped if all are."""
    counted = Tally()
    for position, status in statuses.items():
        counted.add(tally_of(status, is_forgiven=graph.node(position).is_forgiven))
    return Tally(1, int(counted.failed > 0), int(counted.skipped == counted.ended))


def outcome(tally: Tally, count: int) -> TaskStatus:
    """Return the status of a map whose ``count`` items have come to ``tally``."""
    if tally.failed:
        return TaskStatus.FAILED
    return TaskStatus.SKIPPED if 0 < count == tally.skipped else TaskStatus.SUCCESS


def _onward(graph: Graph, body: Sequence[Node], place: int, before: Tally) -> Way:
    """Return how an item continues at ``place`` in the chain.

    ``before`` is how the task before ``place`` counts. Before the first task this is a success: the map runs.
    """
    way = Way()
    counted = Tally()
    if place:
        counted.add(before)
    for node in body[place:]:
        status = verdict(node.step.trigger_rule, 1, before)
        if status == TaskStatus.QUEUED:
            way.ready = node.position
            return way
        way.settled[node.position] = status
        before = tally_of(status, is_forgiven=False)
        counted.add(before)
    is_skipped = counted.skipped == counted.ended
    way.is_open = place > 1 and not counted.failed and (is_skipped or _hides_failures(body))
    if not way.is_open:
        way.tally = Tally(1, int(counted.failed > 0), int(is_skipped))
    return way


def _hides_failures(body: Sequence[Node]) -> bool:
    """Whether a task of the chain may succeed after another one has failed for good."""
    return any(not node.step.rule.passes_failures_on for node in body[1:])


@dataclass(slots=True, kw_only=True)
class Items:
    """The state of the items of a map, worked out from the statuses of their tasks."""

    ready: list[Place] = field(default_factory=list)
    """The pending tasks that may run, by the index of their item."""
    settled: dict[TaskStatus, list[Place]] = field(default_factory=dict)
    """The pending tasks that will never run, by the status that they get."""
    active: int = 0
    """How many items have a task that is queued, running or waiting."""
    ended: dict[int, Tally] = field(default_factory=dict)
    """How the items count that have ended, by index."""
    canceled: bool = False
    """Whether no task has failed in another way than by being canceled."""

    def tallies(self, position: int, count: int) -> dict[int, Tally]:
        """Return what each counter of the map has counted, by its number."""
        found = {number: Tally() for number, _ in totals(position, count)}
        for index, tally in self.ended.items():
            found[counter(position, index)].add(tally)
        for number, total in totals(position, count):
            if found[number].ended == total and (parent := above(number)) in found:
                found[parent].add(Tally(1, found[number].failed, found[number].skipped))
        return found

    def outcome(self, count: int) -> TaskStatus | None:
        """Return the status of the map if all its items have ended, else ``None``."""
        if len(self.ended) < count:
            return None
        whole = Tally()
        for tally in self.ended.values():
            whole.add(tally)
        found = outcome(whole, count)
        return TaskStatus.CANCELED if found == TaskStatus.FAILED and self.canceled else found


def downstream(graph: Graph, places: Iterable[Place]) -> set[Place]:
    """Return ``places`` and all later tasks of the same items."""
    found: set[Place] = set()
    for index, position in places:
        node = graph.node(position)
        body = graph.nodes[_map_of(node)].body or (0, 0)
        found.update((index, following) for following in range(position, body[1]))
    return found


def inspect(graph: Graph, node: Node, statuses: Mapping[Place, str], count: int) -> Items:
    """Return the state of the ``count`` items of a map, from the statuses of their tasks."""
    body = _body(graph, node)
    found = Items()
    failed: set[str] = set()
    for index in range(count):
        own = {step.position: statuses[index, step.position] for step in body}
        _add_item(graph, body, index, own, found)
        failed.update(s for p, s in own.items() if not (s == TaskStatus.FAILED and graph.node(p).is_forgiven))
    found.canceled = TaskStatus.FAILED not in failed
    return found


def _add_item(graph: Graph, body: Sequence[Node], index: int, statuses: dict[int, str], found: Items) -> None:
    before = Tally(1)
    for step in body:
        status = statuses[step.position]
        if status == TaskStatus.PENDING:
            status = verdict(step.step.trigger_rule, 1, before)
            if status == TaskStatus.QUEUED:
                found.ready.append((index, step.position))
                return
            found.settled.setdefault(status, []).append((index, step.position))
            statuses[step.position] = status
        elif status not in TASK_FINISHED:
            found.active += 1
            return
        before = tally_of(status, is_forgiven=step.is_forgiven)
    found.ended[index] = item_tally(graph, statuses)


def _body(graph: Graph, node: Node) -> Sequence[Node]:
    assert node.body is not None
    start, stop = node.body
    return [graph.node(position) for position in range(start, stop)]


def _map_of(node: Node) -> int:
    assert node.map_position is not None
    return node.map_position
