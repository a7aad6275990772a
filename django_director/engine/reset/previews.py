"""Previews: what a reset would do, as it is shown before somebody confirms it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from django_director.graph import Node, foresee
from django_director.graph.items import Place
from django_director.status import TASK_BROKEN, TaskStatus

from .plans import Plan

SHOWN: Final = 200
"""How many tasks a preview names."""


Thing = int | Place
"""What has a row: a position, or one and the item of a map."""


class Again(NamedTuple):
    """A task as a preview names it, with its present status."""

    position: int
    step: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a reset would do. The lists name the first ``SHOWN`` tasks, in order of position."""

    again: list[Again]
    """The tasks that run again, if all of them succeed and conditions hold."""
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
    runs: list[Thing] = sorted(foresee(graph, {**plan.after, **ended}))
    stays: list[Thing] = sorted(plan.before.keys() - plan.changed - plan.maps.keys())
    idle = len(plan.again.difference(p for p in runs if isinstance(p, int)))
    for own in plan.maps.values():
        runs += sorted(own.again)
        stays += sorted(own.before.keys() - own.again - {own.skipped})
    skipped = [own.skipped for own in plan.maps.values() if own.skipped is not None]
    return Preview(
        again=_named(plan, runs),
        runs=len(runs),
        stays=_named(plan, stays),
        kept=len(stays),
        idle=idle,
        broken=sum(_is_broken(plan, thing) for thing in stays),
        skipped=next(iter(_named(plan, skipped if plan.skipped is None else [plan.skipped])), None),
    )


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
