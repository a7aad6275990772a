"""Previews: what a reset would do, as it is shown before somebody confirms it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from django_director.graph import Node, foresee
from django_director.graph.items import Place
from django_director.status import TASK_BROKEN, TaskStatus

from .plans import Plan

SHOWN: Final = 200
"""How many tasks or steps a preview names."""
ITEMS: Final = 10
"""How many items of a map a preview names for one step."""

Thing = int | Place
"""What has a row: a position, or one and the item of a map."""


class Again(NamedTuple):
    """A task as a preview names it, with its present status."""

    position: int
    step: str
    status: str


class StepTasks(NamedTuple):
    """The tasks of one step that have the same status: one, or those for some of the items of a map."""

    step: str
    status: str
    number: int
    """How many tasks they are."""
    items: list[int]
    """For which items of a map they are: the first ``ITEMS`` of them; empty outside of maps."""
    total: int
    """How many items the map has; 0 outside of maps."""
    is_map: bool
    """Whether it is a map that begins anew: its list may have another length then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a reset would do. The lists name the first ``SHOWN`` tasks or steps, in the order of the run.

    A map of which only some items run again does not count itself: its items do.
    """

    again: list[Again]
    """The tasks that run again, if all of them succeed and conditions hold."""
    steps_again: list[StepTasks]
    """The same tasks by their steps."""
    steps_kept: list[StepTasks]
    """The tasks that are kept as they are, by their steps."""
    runs: int
    """How many those are."""
    stays: list[Again]
    """The tasks that are kept as they are."""
    kept: int
    """How many those are."""
    idle: int
    """How many tasks are decided on anew and would not run."""
    broken: int
    """How many of the kept tasks count as failed: with one, the run fails again."""
    skipped: Again | None = None


def preview(plan: Plan) -> Preview:
    """Make the preview of a plan."""
    graph = plan.run.version.graph
    ended = {position: own.foreseen for position, own in plan.maps.items()}
    runs: list[Thing] = list(foresee(graph, {**plan.after, **ended}))
    stays: list[Thing] = list(plan.before.keys() - plan.changed - plan.maps.keys())
    idle = len(plan.again.difference(p for p in runs if isinstance(p, int)))
    for own in plan.maps.values():
        runs += own.again
        stays += own.before.keys() - own.again - {own.skipped}
    for things in (runs, stays):
        things.sort(key=partial(_place, plan))
    skipped = [own.skipped for own in plan.maps.values() if own.skipped is not None]
    return Preview(
        again=_named(plan, runs),
        steps_again=_by_step(plan, runs, are_anew=True),
        steps_kept=_by_step(plan, stays, are_anew=False),
        runs=len(runs),
        stays=_named(plan, stays),
        kept=len(stays),
        idle=idle,
        broken=sum(_is_broken(plan, thing) for thing in stays),
        skipped=next(iter(_named(plan, skipped if plan.skipped is None else [plan.skipped])), None),
    )


def _place(plan: Plan, thing: Thing) -> tuple[int, int, int]:
    """Return what sorts tasks in the order of the run: the items of a map stand where the map is."""
    if isinstance(thing, int):
        return thing, -1, -1
    return _node(plan, thing).map_position or 0, *thing


def _by_step(plan: Plan, things: list[Thing], *, are_anew: bool) -> list[StepTasks]:
    found: dict[tuple[int, str], list[Thing]] = {}
    for thing in things:
        found.setdefault((_node(plan, thing).position, _status(plan, thing)), []).append(thing)
    return [_step_tasks(plan, own, are_anew=are_anew) for own in islice(found.values(), SHOWN)]


def _step_tasks(plan: Plan, things: list[Thing], *, are_anew: bool) -> StepTasks:
    node = _node(plan, things[0])
    items = [thing[0] for thing in things[:ITEMS] if not isinstance(thing, int)]
    total = 0 if node.map_position is None else plan.maps[node.map_position].count
    is_map = are_anew and node.body is not None
    return StepTasks(node.step.id, _status(plan, things[0]), len(things), items, total, is_map)


def _named(plan: Plan, things: Iterable[Thing]) -> list[Again]:
    return [_again(plan, thing) for thing in islice(things, SHOWN)]


def _again(plan: Plan, thing: Thing) -> Again:
    position, step = _node(plan, thing).position, _node(plan, thing).step.id
    name = step if isinstance(thing, int) else f"{step}[{thing[0]}]"
    return Again(position, name, _status(plan, thing))


def _node(plan: Plan, thing: Thing) -> Node:
    return plan.run.version.graph.node(thing if isinstance(thing, int) else thing[1])


def _status(plan: Plan, thing: Thing) -> str:
    if isinstance(thing, int):
        return plan.before[thing]
    return plan.maps[_node(plan, thing).map_position or 0].before[thing]


def _is_broken(plan: Plan, thing: Thing) -> bool:
    status = _status(plan, thing)
    return status in TASK_BROKEN and not (status == TaskStatus.FAILED and _node(plan, thing).is_forgiven)
