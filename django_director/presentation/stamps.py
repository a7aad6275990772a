"""Says cheaply whether rows have changed since a page showed them.

A stamp is a value that differs after each change that people can see; equal stamps mean equal pages. The engine
writes nothing for it: it is made of the numbers and times that each change of a task writes anyway, and of what
time alone changes: whether workers still give signs of life. So a page that is open and asks again and again costs
one query that reads an index, as long as nothing changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final
from uuid import UUID

from django.db.models import (
    Case,
    Count,
    DateTimeField,
    F,
    Max,
    OuterRef,
    QuerySet,
    Subquery,
    Sum,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast

from django_director.db.functions import StoredSize
from django_director.definitions import WorkflowStep
from django_director.engine.concurrency import pending_reasons
from django_director.models import Run, Task, TaskLog, Worker
from django_director.models.columns import sorted_values
from django_director.status import RUN_FINISHED, RunStatus, TaskStatus

from . import awaited_ends, open_approvals, relaunches, served_queues, silent_workers

ACTIVE_READ: Final = 50
_RUN: Final = (
    *("pk", "status", "stop", "paused_at", "generation", "token", "counted_from", "started_at", "finished_at"),
    *("error", "queued_at"),
)
_TASK: Final = (
    *("pk", "status", "run__stop", "run__paused_at", "attempt", "sequence", "failures", "crashes", "reruns"),
    *("queued_at", "started_at", "finished_at", "not_before", "asked_at", "unsendable_since", "child_run"),
    *("reason", "error"),
)
_NUMBERS: Final = ("attempt", "sequence", "failures", "crashes", "reruns", "generation")
_TIMES: Final = ("queued_at", "started_at", "finished_at", "not_before", "asked_at", "unsendable_since")


def of_run(run: Run) -> Any:
    """Return the stamp of a run with its tasks.

    It takes one query, which reads the run's part of an index and the rows of workers: a worker that falls silent
    changes the page, and so does one that serves the queue of a waiting task. A run with child runs takes a second
    query for the approvals below it, a pending run one for its place in the queue, a run that has ended, now or
    before a retry, one for its relaunches, and one that is being canceled up to three for what it waits for.
    """
    calls = _has_child_steps(run)
    asked = open_approvals.oldest(run, 100) if calls and not run.is_finished else []
    waiting = str(pending_reasons.of_run(run) or "") if run.status == RunStatus.PENDING else ""
    awaited = awaited_ends.of_run(run) if run.shown_status == "canceling" else None
    silent = list(awaited.silent) if awaited is not None else []
    columns = ("children__status", "children__paused_at") if calls else ()
    of_tasks = _numbers(run.tasks.all(), *columns).union(_workers(*columns), all=True)
    own = [getattr(run, name) for name in _RUN]
    return own, _sorted(of_tasks), asked, waiting, relaunches.stamp(run), silent


def of_logs(**tasks: Any) -> Any:
    """Return the stamp of the log lines of some tasks: ``task=…`` or ``task__run=…``.

    It takes one query, which reads no text.
    """
    size = Sum(StoredSize("text"))
    # A text that was written again may have its old size: of a task that logs at length only the end changes.
    return TaskLog.objects.filter(**tasks).aggregate(Count("pk"), Max("pk"), Sum("writes"), size=size)


def of_runs(ids: Collection[UUID]) -> Any:
    """Return the stamp of the runs in a list, with the numbers of their tasks. It takes one query.

    The tasks of a run that has ended do not change, and are not read.
    """
    tasks = Task.objects.filter(run=OuterRef("pk")).order_by().values("run")
    parts = {
        "ended": Subquery(tasks.annotate(n=Count("finished_at")).values("n")),
        "sequences": Subquery(tasks.annotate(n=Sum("sequence") + Sum("attempt")).values("n")),
        "asked": Subquery(tasks.annotate(n=Max("asked_at")).values("n")),
    }
    lively = {name: Case(When(finished_at__isnull=True, then=part)) for name, part in parts.items()}
    rows = Run.objects.filter(pk__in=list(ids)).order_by("pk").annotate(**lively)
    return list(rows.values_list(*_RUN, *lively))


def of_tasks(ids: Collection[UUID]) -> Any:
    """Return the stamp of the tasks in a list. It takes one query."""
    tasks = silent_workers.marked(Task.objects.filter(pk__in=list(ids)))
    return list(tasks.order_by("pk").values_list(*_TASK, silent_workers.MARK))


def of_running() -> Any:
    """Return the stamp of the newest runs at work and of all running tasks. It takes two queries.

    Both read a few entries of an index.
    """
    return _active_runs(), _sorted(_numbers(Task.objects.all_running()))


def of_last_runs() -> Any:
    """Return the stamp of all runs, which changes when one is started, begins, is paused or ends.

    It takes two queries, which read the last entries of indexes. It knows the newest ``ACTIVE_READ`` active runs.
    """
    ended = {f"last_{status}": Subquery(_last_end(status)) for status in sorted_values(RUN_FINISHED)}
    newest = Run.objects.order_by("-pk").annotate(**ended).values_list("pk", *ended)
    return _active_runs(), list(newest[:1])


def _last_end(status: str) -> QuerySet[Run, Any]:
    ended = Run.objects.filter(status=status, finished_at__isnull=False)
    return ended.order_by("-finished_at").values("finished_at")[:1]


def _active_runs() -> list[Any]:
    active = Run.objects.active().order_by("-pk").values_list("pk", "status", "stop", "paused_at", "token")
    return list(active[:ACTIVE_READ])


def _numbers(tasks: QuerySet[Task], *further: str) -> QuerySet[Task, Any]:
    """Return for each status how many tasks have it, with what each change raises.

    A running task that reports its progress is counted apart.
    """
    reported = Case(
        When(status=TaskStatus.RUNNING, progress__isnull=False, then=Cast("progress", TextField())),
        default=Value(""),
        output_field=TextField(),
    )
    found = tasks.order_by().annotate(reported=reported).values_list("status", "is_hook", "reported", *further)
    numbers = {f"sum_of_{name}": Sum(name) for name in _NUMBERS}
    times = {f"max_of_{name}": Max(name) for name in _TIMES}
    silent = Count("pk", filter=silent_workers.is_silent())
    counts = {"n": Count("pk"), "n_of_children": Count("child_run"), "n_of_silent": silent}
    return found.annotate(**counts, **numbers, **times)


def _workers(*further: str) -> QuerySet[Worker, Any]:
    """Return the living workers and their queues, in the columns of ``_numbers``: databases go by their places."""
    no_time = Cast(Value(None), DateTimeField())
    texts = {"as_status": F("name"), "as_is_hook": Value(False), "as_reported": Cast("queues", TextField())}
    of_children = {"children__status": Value(""), "children__paused_at": no_time}
    others = {f"as_{name}": of_children[name] for name in further}
    counts = {"as_n": F("key"), "as_n_of_children": Value(0), "as_n_of_silent": Value(0)}
    numbers = {f"as_{name}": Value(0) for name in _NUMBERS}
    times = {f"as_{name}": no_time for name in _TIMES}
    columns = texts | others | counts | numbers | times
    return served_queues.of_living_workers().order_by().annotate(**columns).values_list(*columns)


def _sorted(rows: Iterable[Any]) -> list[str]:
    return sorted(map(repr, rows))


def _has_child_steps(run: Run) -> bool:
    return any(isinstance(node.step, WorkflowStep) for node in run.version.graph.nodes)
