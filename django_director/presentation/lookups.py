"""Finds the workflow, run or task that a person has named, or suggests similar ones."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from django_director.common.suggestions import question
from django_director.definitions import HOOK_PREFIX, OUTCOMES
from django_director.engine import workflow_named
from django_director.exceptions import DirectorError, UnknownRun, UnknownTask, UnknownWorkflow
from django_director.graph import views_of
from django_director.models import Run, Task, Workflow
from django_director.status import RUN_ACTIVE, STOP_SPARING, RunStatus

if TYPE_CHECKING:
    from django_director.models.querysets import RunQuerySet

#: The statuses of runs as people see them.
SHOWN_STATUSES: Final = (*RunStatus.values, "paused", "canceling")
HEX_DIGITS: Final = 32
SHORTEST_PREFIX: Final = 4
INDEX_DIGITS: Final = 9
LISTED: Final = 5
"""How many candidates an error message names."""


def find_workflow(name: str) -> Workflow:
    """Return the workflow ``name``, active or not. Raises ``UnknownWorkflow``, which suggests the nearest name."""
    workflow = workflow_named(name)
    if workflow is None:
        raise UnknownWorkflow(name, question(name, Workflow.objects.values_list("name", flat=True)))
    return workflow


def find_run(text: str) -> Run:
    """Return the run whose id is ``text``, or the only one whose id begins with it.

    Raises ``UnknownRun``, whose message lists similar runs.
    """
    span = id_span(text)
    if span is None:
        raise _no_run_id(text)
    found: list[Run] = list(Run.objects.select_related("workflow", "version").filter(pk__range=span)[: LISTED + 1])
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnknownRun(_unknown(text, span[0]))
    listed = "\n".join(f"  {line}" for line in _lines(found[:LISTED]))
    more = "\n  …" if len(found) > LISTED else ""
    raise UnknownRun(f"several runs begin with “{text}”:\n{listed}{more}")


def find_task(text: str) -> Task:
    """Return the task whose id is ``text``, or that ``RUN:STEP[:INDEX]`` names.

    If several outcomes of the run have started a hook, it is the last one. Raises ``UnknownTask`` and
    ``UnknownRun``.
    """
    if ":" in text:
        run, _, step = text.partition(":")
        return _task_of(find_run(run), step)
    span = id_span(text)
    tasks = Task.objects.select_related("run__workflow", "run__version")
    task: Task | None = tasks.filter(pk=span[0]).first() if span and span[0] == span[1] else None
    if task is None and span and Run.objects.filter(pk=span[0]).exists():
        raise UnknownTask(f"“{text}” is a run; name a task of it as {text}:STEP (“showrun {text}” lists them)")
    if task is None:
        raise UnknownTask(f"no task has the id “{text}” (a task is named by its whole id, or as RUN:STEP[:INDEX])")
    return task


def _task_of(run: Run, text: str) -> Task:
    step, _, index = text.rpartition(":")
    tasks = run.tasks.order_by("map_index", "-generation")
    if step and index.isdecimal() and len(index) <= INDEX_DIGITS:
        tasks = tasks.filter(step=step, map_index=int(index))
    else:
        tasks = tasks.filter(step=text)
    found: list[Task] = list(tasks[:2]) or _hooks_of(run, text)
    if not found:
        raise UnknownTask(_unknown_step(run, text))
    # A map and the task in it may have the same id. Without an index the id means the map.
    if found[0].map_index >= 0 and len({task.map_index for task in found}) > 1:
        raise UnknownTask(f"“{text}” stands for several tasks of run {run.pk}; add an index, as {text}:0")
    found[0].run = run
    return found[0]


def _hooks_of(run: Run, label: str) -> list[Task]:
    """Return the hooks that people read as ``label``, those of the last outcome first."""
    steps = [f"{HOOK_PREFIX}{outcome}.{label}" for outcome in OUTCOMES]
    found = list(run.tasks.filter(step__in=steps, is_hook=True).order_by("-generation", "position"))
    if len({task.step for task in found}) > 1:
        listed = ", ".join(sorted({f"{run.pk}:{task.step}" for task in found}))
        raise UnknownTask(f"“{label}” stands for several hooks of run {run.pk}: {listed}")
    return found[:1]


def _unknown_step(run: Run, text: str) -> str:
    view = views_of(run.version.graph).get(text)
    if view is not None and view.is_container:
        return f"“{text}” is a group or chain of run {run.pk}, not a task; name one of its steps"
    hint = question(text, run.tasks.order_by().values_list("step", flat=True).distinct())
    return f"run {run.pk} has no task “{text}”" + (f" ({hint})" if hint else "")


def id_span(text: str) -> tuple[UUID, UUID] | None:
    """Return the first and the last possible id that begin with ``text``; ``None`` if no id can.

    The result is a range because databases store ids in different forms, and all of these sort in the same order.
    """
    digits = text.strip().lower().replace("-", "")
    if not SHORTEST_PREFIX <= len(digits) <= HEX_DIGITS or not re.fullmatch("[0-9a-f]+", digits):
        return None
    return UUID(digits.ljust(HEX_DIGITS, "0")), UUID(digits.ljust(HEX_DIGITS, "f"))


def filter_by_status(runs: RunQuerySet, statuses: list[str]) -> RunQuerySet:
    """Return those of ``runs`` whose ``shown_status`` is one of ``statuses``."""
    where = Q()
    for status in statuses:
        where |= _has_status(status)
    return runs.filter(where)


def _has_status(status: str) -> Q:
    active = Q(status__in=RUN_ACTIVE)
    if status == "canceling":
        return active & ~Q(stop__in=STOP_SPARING)
    if status == "paused":
        return active & Q(stop__in=STOP_SPARING, paused_at__isnull=False)
    if status in RUN_ACTIVE:
        return Q(status=status, stop__in=STOP_SPARING, paused_at__isnull=True)
    return Q(status=status)


def _no_run_id(text: str) -> DirectorError:
    workflow = Workflow.objects.filter(name=text).first()
    if workflow is None:
        return UnknownRun(f"“{text}” is no run id (at least {SHORTEST_PREFIX} hexadecimal digits; see “listruns”)")
    last = list(workflow.runs.select_related("workflow", "version")[:LISTED])
    if not last:
        return UnknownRun(f"“{text}” is a workflow, not a run, and has no runs yet")
    listed = "\n".join(f"  {line}" for line in _lines(last))
    return UnknownRun(f"“{text}” is a workflow, not a run; its last runs:\n{listed}")


def _unknown(text: str, identifier: UUID) -> str:
    task = Task.objects.filter(pk=identifier).only("run_id").first()
    if task is not None:
        return f"“{text}” is a task, not a run; its run is {task.run_id}"
    return f"no run has the id “{text}” (see “listruns”)"


def _lines(runs: list[Run]) -> list[str]:
    return [f"{run.pk}  {run.shown_status}  {_local(run.created_at):%Y-%m-%d %H:%M:%S}" for run in runs]


def _local(moment: datetime) -> datetime:
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment
