"""The words in which rows are asked for. No other module filters by a literal status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Length

from django_director import status
from django_director.conf import director
from django_director.db.functions import Now

if TYPE_CHECKING:
    from uuid import UUID

    from django_director.graph import Graph, Span

SHORT_SPAN = 4
"""Spans up to this length are listed, longer ones are ranges."""

LONG_SPANS = 100
"""Above so many ranges positions are listed: a database tests each for each row, and SQLite refuses a thousand."""

FEW = 8
"""Up to so many spans are as quick to find one by one."""

LISTED = 10_000
"""How many positions one statement of a batch lists at most: a database may limit its parameters."""

HEAVY_TASK_FIELDS = ("item", "result", "traceback")


def positions_in(spans: Iterable[Span]) -> Q:
    """The condition that a position lies in one of the half-open ``spans``."""
    ranges = list(spans)
    single: list[int] = []
    long: list[Span] = []
    for start, stop in ranges:
        if stop - start <= SHORT_SPAN:
            single.extend(range(start, stop))
        else:
            long.append((start, stop))
    if len(long) > LONG_SPANS:
        single += [position for start, stop in long for position in range(start, stop)]
        long = []
    where = Q()
    for start, stop in long:
        where |= Q(position__gte=start, position__lt=stop)
    if single or not where:
        where |= Q(position__in=single)
    if len(ranges) > FEW:
        # A database reads that part of the run only, not all of it for each of many batches.
        first, last = min(start for start, _ in ranges), max(stop for _, stop in ranges)
        where = Q(position__gte=first, position__lt=last) & where
    return where


def batches(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """The same spans in lists that one statement can take each, however scattered they are."""
    batch: list[Span] = []
    size = 0
    for start, stop in spans:
        if batch and size + stop - start > LISTED:
            yield batch
            batch, size = [], 0
        batch.append((start, stop))
        size += stop - start
    if batch:
        yield batch


class DirectorManager(models.Manager[Any]):
    """Rows of the database ``DIRECTOR["DATABASE"]``, whatever a database router says.

    Each model names it as its base manager too, so that what Django reads by itself, as ``run.workflow`` and
    ``refresh_from_db`` do, comes from there, and never from a replica that lags behind.
    """

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().using(director.DATABASE)


class WorkflowQuerySet(models.QuerySet[Any]):
    def active(self) -> Self:
        """Workflows that stand in the files."""
        return self.filter(is_active=True)


class RunQuerySet(models.QuerySet[Any]):
    def active(self) -> Self:
        return self.filter(status__in=status.RUN_ACTIVE)

    def finished(self) -> Self:
        return self.filter(status__in=status.RUN_FINISHED)

    def unstopped(self) -> Self:
        """Runs that may be canceled, or fail fast at most."""
        return self.filter(stop__in=status.STOP_SPARING)

    def retryable(self) -> Self:
        return self.filter(status__in=status.RUN_RETRYABLE).exclude(stop=status.Stop.DELETE)

    def resettable(self) -> Self:
        """Runs of which tasks may run again."""
        return self.finished().exclude(stop=status.Stop.DELETE)

    def being_deleted(self) -> Self:
        """Finished runs of which retention has begun to delete the tasks: they can't be retried any more."""
        return self.finished().filter(stop=status.Stop.DELETE)

    def stopping(self) -> Self:
        """Runs that start no further task and are not closed yet."""
        # In the words of an index: `finished_at` says the same as the status (a constraint holds that).
        return self.filter(finished_at=None, stop__gt=status.Stop.NONE)

    def overdue(self) -> Self:
        """Runs whose time is up and that may still start something."""
        may_start = self.filter(stop__in=status.STOP_SPARING, paused_at=None)
        return may_start.filter(finished_at=None, deadline_at__lte=Now())

    def of_key(self, workflow_id: int | Combinable, key: str | Combinable | None) -> Self:
        """Runs that share their slots."""
        return self.filter(workflow=workflow_id, concurrency_key=key)

    def holding(self) -> Self:
        """Runs that hold a slot of their key."""
        # With the condition of the index of the few runs that are active.
        return self.filter(slot__isnull=False, queued_at__isnull=False)

    def wanting(self) -> Self:
        """Pending runs that may have a slot: neither paused nor stopped, nor delayed."""
        pending = self.filter(status=status.RunStatus.PENDING, stop=status.Stop.NONE, paused_at=None)
        return pending.filter(queued_at__lte=Now())

    def due_for_admission(self) -> Self:
        """Pending runs that the supervisor is to look at."""
        return self.filter(next_admission_at__lte=Now())

    def queued_before(self, queued_at: Combinable, pk: UUID | Combinable) -> Self:
        """Active runs with a key that come before another one, whose columns are given as expressions."""
        return self.filter(Q(queued_at__lt=queued_at) | Q(queued_at=queued_at, pk__lt=pk))

    def reporting(self) -> Self:
        """Finished child runs whose end a step still waits for."""
        return self.filter(is_awaited=True, finished_at__isnull=False)

    def for_listing(self) -> Self:
        """Without payloads, with what a list shows."""
        return self.select_related("workflow", "version").defer(
            "payload", "version__definition", "version__source"
        )

    def roots(self) -> Self:
        """Runs that are not children of another run."""
        return self.filter(parent_task=None)


class TaskQuerySet(models.QuerySet[Any]):
    def active(self) -> Self:
        return self.filter(status__in=status.TASK_ACTIVE)

    def unstarted(self) -> Self:
        """Tasks that a stop can settle at once."""
        return self.filter(status__in=status.TASK_UNSTARTED)

    def pending(self) -> Self:
        return self.filter(status=status.TaskStatus.PENDING)

    def queued(self) -> Self:
        return self.filter(status=status.TaskStatus.QUEUED)

    def running(self) -> Self:
        return self.filter(status=status.TaskStatus.RUNNING)

    def waiting(self) -> Self:
        return self.filter(status=status.TaskStatus.WAITING)

    def all_queued(self) -> Self:
        """Queued tasks of whatever run, with the condition of their index."""
        return self.queued().filter(next_dispatch_at__isnull=False)

    def all_running(self) -> Self:
        """Running tasks of whatever run, with the condition of their index."""
        return self.running().filter(lease_until__isnull=False)

    def asked(self) -> Self:
        """Approvals that wait for somebody to decide."""
        return self.waiting().filter(asked_at__isnull=False)

    def awaiting_child(self) -> Self:
        """Steps that a child run's end will end."""
        return self.waiting().filter(child_run__isnull=False, not_before=None)

    def finished(self) -> Self:
        return self.filter(status__in=status.TASK_FINISHED)

    def failed(self) -> Self:
        return self.filter(status=status.TaskStatus.FAILED)

    def canceled(self) -> Self:
        return self.filter(status=status.TaskStatus.CANCELED)

    def hooks(self) -> Self:
        return self.filter(is_hook=True)

    def steps(self) -> Self:
        """The tasks that make up the run, without its hooks."""
        return self.filter(is_hook=False)

    def at(self, spans: Iterable[Span]) -> Self:
        """The step tasks whose position lies in one of the half-open ``spans``."""
        return self.filter(positions_in(spans), is_hook=False)

    def nodes(self) -> Self:
        """The rows of what stands in the graph: without hooks, and without what maps do for their items."""
        return self.filter(is_hook=False, map_index=-1)

    def size_of_results(self) -> int:
        """How many characters the results have together."""
        text = Length(Cast("result", models.TextField()))
        return int(self.aggregate(size=models.Sum(text))["size"] or 0)

    def size_of_items(self, made: Mapping[int, int]) -> int:
        """The same of some maps; ``made`` is ``Graph.last_in`` of them."""
        return self.at_items(made).size_of_results()

    def lists_of_items(self, made: Mapping[int, int]) -> dict[int, list[Any]]:
        """The results of maps by position, of those that have items; ``made`` is ``Graph.last_in`` of them."""
        found: dict[int, list[Any]] = {}
        rows = self.at_items(made).order_by("position", "map_index").values_list("position", "result")
        for position, result in rows:
            found.setdefault(made[position], []).append(result)
        return found

    def counts_of_items(self, graph: Graph) -> dict[int, dict[str, int]]:
        """By the position of each map: how many tasks for its items are in which status. One query."""
        counts: dict[int, dict[str, int]] = {position: {} for position in graph.maps}
        rows = self.filter(map_index__gte=0).order_by().values_list("position", "status")
        for position, found, number in rows.annotate(models.Count("pk")):
            around = counts[graph.node(position).map_position or 0]
            around[found] = around.get(found, 0) + number
        return counts

    def at_items(self, positions: Iterable[int]) -> Self:
        """The tasks at some positions inside of maps."""
        return self.filter(position__in=list(positions), map_index__gte=0)

    def in_order(self) -> Self:
        """In the order of the file, hooks last."""
        return self.order_by("is_hook", "position", "map_index", "generation")

    def for_listing(self) -> Self:
        """Without items, results and tracebacks."""
        return self.defer(*HEAVY_TASK_FIELDS)
