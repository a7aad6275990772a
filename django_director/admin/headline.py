"""The sentence with which the page of a run begins: what it does, or how it ended and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.graph import Graph
from django_director.models import Run
from django_director.presentation import causes, served_queues
from django_director.presentation.awaited_ends import AwaitedEnds
from django_director.presentation.map_items import ITEM_DONE
from django_director.status import TASK_ACTIVE, RunStatus, TaskStatus

from . import formatting

NAMED: Final = 3
"""How many steps a sentence names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why a running run does not go on, as far as the user may know."""

    is_interrupted: bool = False
    """Whether all its running tasks have workers that give no sign of life."""
    unserved: str = ""
    """The queue in which it waits and that no worker serves; empty if there is none."""
    awaited: AwaitedEnds | None = None
    """What it waits for while it is being canceled."""


def of_run(
    run: Run, error: str, steps: Mapping[str, Sequence[str]], failed: int, trouble: Trouble = Trouble()
) -> str:
    """Return the sentence. It has no times, so that it changes only when the run does, or its workers.

    ``error`` is that of the run as far as the user may see it; ``steps`` are the labels of its unfinished steps,
    by status; ``failed`` is how many of its tasks have failed.
    """
    match run.shown_status:
        case RunStatus.FAILED:
            return _failed(error, failed)
        case RunStatus.SUCCESS:
            return _("Succeeded")
        case RunStatus.CANCELED:
            return _with_reason(_("Canceled"), error)
        case RunStatus.PENDING:
            return _("Waits for its turn")
        case "paused":
            return _("Paused: no further step starts until it is resumed")
        case "canceling":
            return _canceling(error, trouble.awaited)
    return _running(steps, trouble)


def name_steps(
    graph: Graph, tasks: Iterable[tuple[int, str, int]], report: tuple[int, str] = (-1, "")
) -> dict[str, list[str]]:
    """Return the names of the steps at work by status; a map stands for its items, and says how many are done.

    ``tasks`` yields for the steps of a run a position, a status, and how many tasks have both; ``report`` is the
    position of a running task and what it reports.
    """
    found: dict[int, Counter[str]] = {}
    for position, status, number in tasks:
        found.setdefault(position, Counter())[status] += number
    steps: dict[str, list[str]] = {}
    for position, counts in sorted(found.items()):
        node = graph.node(position)
        if node.map_position is not None:
            continue
        for status in counts:
            if status == TaskStatus.WAITING and node.body is not None:
                text = _("%(map)s: %(progress)s") % {
                    "map": node.step.id,
                    "progress": _ended(found.get(node.body[1] - 1, Counter())),
                }
                items = {name for each in range(*node.body) for name in found.get(each, ())}
                waits = TaskStatus.QUEUED in items and items.isdisjoint((TaskStatus.RUNNING, TaskStatus.WAITING))
                steps.setdefault(TaskStatus.QUEUED if waits else TaskStatus.RUNNING, []).append(text)
            elif status in TASK_ACTIVE and status != TaskStatus.PENDING:
                told = report[1] if (position, status) == (report[0], TaskStatus.RUNNING) else ""
                steps.setdefault(status, []).append(f"{node.step.id}: {told}" if told else node.step.id)
    return steps


def _ended(counts: Counter[str]) -> str:
    """Return how many items of a map are done, from the statuses of their last tasks."""
    ended = sum(number for status, number in counts.items() if status in ITEM_DONE)
    return _("%(ended)s of %(count)s") % {
        "ended": formatting.number(ended),
        "count": formatting.number(counts.total()),
    }


def _canceling(error: str, awaited: AwaitedEnds | None) -> str:
    reasons = [formatting.error_line(error)] if error else []
    if awaited is not None:
        reasons.append(_awaited(awaited))
    return ": ".join(filter(None, (_("Is being canceled"), "; ".join(reasons))))


def _awaited(awaited: AwaitedEnds) -> str:
    steps = {"steps": _named(awaited.labels, awaited.total)}
    if awaited.are_child_runs:
        return _("waits for the child run of %(steps)s to end") % steps
    if len(awaited.workers) == 1:
        text = (
            _("waits for %(steps)s to end on %(worker)s, which gives no sign of life")
            if awaited.silent
            else _("waits for %(steps)s to end on %(worker)s")
        )
        return text % {**steps, "worker": formatting.name(awaited.workers[0])}
    text = _("waits for %(steps)s to end") % steps
    if not awaited.silent:
        return text
    silent = _("no sign of life from %(workers)s") % {"workers": _named(awaited.silent)}
    return f"{text}; {silent}"


def _failed(error: str, failed: int) -> str:
    step, text = causes.divide(error)
    if not step:
        return _with_reason(_("Failed"), text)
    where = _("Failed at %(step)s") % {"step": formatting.name(step)}
    if failed > 1:
        more = ngettext("%(n)s other task", "%(n)s other tasks", failed - 1) % {"n": formatting.number(failed - 1)}
        where = _("%(where)s and %(more)s") % {"where": where, "more": more}
    return _with_reason(where, text)


def _with_reason(text: str, reason: str) -> str:
    return f"{text}: {formatting.error_line(reason)}" if reason else text


def _running(steps: Mapping[str, Sequence[str]], trouble: Trouble) -> str:
    running, waiting = _("Running: %(steps)s"), _("Waits for a worker: %(steps)s")
    if trouble.is_interrupted:
        running = _("Interrupted: %(steps)s. The worker gives no sign: the run goes on when a worker runs")
    if trouble.unserved:
        waiting = _("Waits for a worker: %(steps)s. No worker serves queue “%(queue)s”: %(cure)s")
    queue = formatting.name(trouble.unserved)
    more = {"queue": queue, "cure": served_queues.way_out(queue)}
    for status, text in (
        (TaskStatus.RUNNING, running),
        (TaskStatus.WAITING, _("Waits at %(steps)s")),
        (TaskStatus.QUEUED, waiting),
    ):
        if names := steps.get(status):
            return text % {"steps": _named(names), **more}
    return _("Running")


def _named(names: Sequence[str], total: int | None = None) -> str:
    """Return the first names, and how many more there are of ``total``, or else of ``names``."""
    shown = ", ".join(formatting.name(name) for name in names[:NAMED])
    rest = (len(names) if total is None else total) - NAMED
    if rest <= 0:
        return shown
    more = ngettext("%(n)s more", "%(n)s more", rest) % {"n": formatting.number(rest)}
    return f"{shown} + {more}"
