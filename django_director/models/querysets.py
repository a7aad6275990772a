"""The querysets and managers of the models. No other module filters rows by a literal status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Length
from django.db.models.lookups import IsNull

from django_director import status
from django_director.common import ids
from django_director.conf import director
from django_director.db.functions import Now

from .positions import positions_in

if TYPE_CHECKING:
    from uuid import UUID

    from django_director.graph import Graph, Span
    from django_director.graph.items import Place

HEAVY_TASK_FIELDS = ("item", "result", "traceback")
"""The columns of a task that may be large and that no list shows."""
RELAUNCHES_FOLLOWED = 3
"""Through so many relaunches, each of the run of the one before, a success repairs the first run."""


class DirectorManager(models.Manager[Any]):
    """Reads rows from the database ``DIRECTOR["DATABASE"]``, whatever a database router says.

    It is the base manager of each model too. So rows that Django reads by itself, for ``run.workflow`` or
    ``refresh_from_db``, come from that database, and never from a replica that lags behind.
    """

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().using(director.DATABASE)


class WorkflowQuerySet(models.QuerySet[Any]):
    """Selects workflows."""

    def active(self) -> Self:
        """Select the workflows that stand in the files."""
        return self.filter(is_active=True)


class RunQuerySet(models.QuerySet[Any]):
    """Selects runs."""

    def active(self) -> Self:
        """Select the runs that have no outcome yet."""
        return self.filter(status__in=status.RUN_ACTIVE)

    def finished(self) -> Self:
        """Select the runs that have an outcome."""
        return self.filter(status__in=status.RUN_FINISHED)

    def failed(self) -> Self:
        """Select the runs that have failed."""
        return self.filter(status=status.RunStatus.FAILED)

    def is_repaired(self) -> Q:
        """Return the condition of a failed run after whose end a run relaunched from it has succeeded."""
        return Q(status=status.RunStatus.FAILED) & self._has_success(OuterRef("finished_at"), RELAUNCHES_FOLLOWED)

    def _has_success(self, end: OuterRef, levels: int) -> Q:
        """Return the condition of a run with a relaunch that succeeded after ``end``, or has such a relaunch."""
        found = Q(status=status.RunStatus.SUCCESS, finished_at__gte=end)
        if levels > 1:
            found |= self._has_success(OuterRef(end), levels - 1)
        relaunches = self.model.objects.filter(found, relaunched_from=OuterRef("pk")).order_by()
        # No `Exists`: for it a database may read all relaunches. Of one value it looks into their index.
        return Q(IsNull(Subquery(relaunches.values("pk")[:1]), False))

    def unstopped(self) -> Self:
        """Select the runs that nothing has stopped, or only a failure with ``fail_fast``."""
        return self.filter(stop__in=status.STOP_SPARING)

    def retryable(self) -> Self:
        """Select the failed and canceled runs that a user may retry."""
        return self.filter(status__in=status.RUN_RETRYABLE).exclude(stop=status.Stop.DELETE)

    def resettable(self) -> Self:
        """Select the finished runs whose tasks a user may run again."""
        return self.finished().exclude(stop=status.Stop.DELETE)

    def being_deleted(self) -> Self:
        """Select the finished runs whose tasks retention has begun to delete: nobody can retry them any more."""
        return self.finished().filter(stop=status.Stop.DELETE)

    def stopping(self) -> Self:
        """Select the unfinished runs that start no further task."""
        # An index has these two columns. A constraint says that `finished_at` is empty while a run is active.
        return self.filter(finished_at=None, stop__gt=status.Stop.NONE)

    def overdue(self) -> Self:
        """Select the runs whose time is up and which could still start a task."""
        may_start = self.filter(stop__in=status.STOP_SPARING, paused_at=None)
        return may_start.filter(finished_at=None, deadline_at__lte=Now())

    def of_key(self, workflow_id: int | Combinable, key: str | Combinable | None) -> Self:
        """Select the runs of a workflow that share the slots of one concurrency key."""
        return self.filter(workflow=workflow_id, concurrency_key=key)

    def holding_slot(self) -> Self:
        """Select the runs that hold a slot of their concurrency key."""
        # The condition on `queued_at` lets a database use the small index of active runs.
        return self.filter(slot__isnull=False, queued_at__isnull=False)

    def awaiting_slot(self) -> Self:
        """Select the pending runs that may get a slot: they are not paused, stopped or delayed."""
        pending = self.filter(status=status.RunStatus.PENDING, stop=status.Stop.NONE, paused_at=None)
        return pending.filter(queued_at__lte=Now())

    def due_for_admission(self) -> Self:
        """Select the pending runs for which the supervisor looks for a slot now."""
        return self.filter(next_admission_at__lte=Now())

    def queued_before(self, queued_at: Combinable, pk: UUID | Combinable) -> Self:
        """Select the active runs that come before another run in the queue of their concurrency key.

        ``queued_at`` and ``pk`` are the columns of that other run, mostly as expressions.
        """
        return self.filter(Q(queued_at__lt=queued_at) | Q(pk__lt=pk), queued_at__lte=queued_at)

    def reporting(self) -> Self:
        """Select the finished child runs whose end a step still waits for."""
        return self.filter(is_awaited=True, finished_at__isnull=False)

    def succeeded(self) -> Self:
        """Select the runs that were a success."""
        return self.filter(status=status.RunStatus.SUCCESS)

    def for_listing(self) -> Self:
        """Read what a list of runs shows, and no payloads."""
        return self.select_related("workflow", "version").defer(
            "payload", "version__definition", "version__source"
        )

    def roots(self) -> Self:
        """Select the runs that no other run has started as a step."""
        return self.filter(parent_task=None)


class TaskQuerySet(models.QuerySet[Any]):
    """Selects tasks."""

    def active(self) -> Self:
        """Select the tasks that have no outcome yet."""
        return self.filter(status__in=status.TASK_ACTIVE)

    def unstarted(self) -> Self:
        """Select the tasks that no worker runs, which a cancel can end at once."""
        return self.filter(status__in=status.TASK_UNSTARTED)

    def pending(self) -> Self:
        """Select the tasks that wait for other steps."""
        return self.filter(status=status.TaskStatus.PENDING)

    def queued(self) -> Self:
        """Select the tasks that wait for a worker."""
        return self.filter(status=status.TaskStatus.QUEUED)

    def running(self) -> Self:
        """Select the tasks that a worker runs."""
        return self.filter(status=status.TaskStatus.RUNNING)

    def waiting(self) -> Self:
        """Select the tasks that wait for a time, a decision, a child run or items."""
        return self.filter(status=status.TaskStatus.WAITING)

    def all_queued(self) -> Self:
        """Select the queued tasks of all runs, by their index."""
        return self.queued().filter(next_dispatch_at__isnull=False)

    def all_running(self) -> Self:
        """Select the running tasks of all runs, by their index."""
        return self.running().filter(lease_until__isnull=False)

    def asked(self) -> Self:
        """Select the approvals that wait for a person to decide."""
        return self.waiting().filter(asked_at__isnull=False)

    def to_be_tried_again(self) -> Self:
        """Select the tasks of which an attempt has failed and that wait for the time of the next one."""
        return self.waiting().filter(not_before__isnull=False, failures__gt=0)

    def awaiting_child(self) -> Self:
        """Select the steps that wait for the end of their child run."""
        return self.waiting().filter(child_run__isnull=False, not_before=None)

    def finished(self) -> Self:
        """Select the tasks that have an outcome."""
        return self.filter(status__in=status.TASK_FINISHED)

    def failed(self) -> Self:
        """Select the tasks that have failed."""
        return self.filter(status=status.TaskStatus.FAILED)

    def canceled(self) -> Self:
        """Select the tasks that were canceled."""
        return self.filter(status=status.TaskStatus.CANCELED)

    def hooks(self) -> Self:
        """Select the tasks of hooks."""
        return self.filter(is_hook=True)

    def steps(self) -> Self:
        """Select the tasks of steps, and no hooks."""
        return self.filter(is_hook=False)

    def at(self, spans: Iterable[Span]) -> Self:
        """Select the tasks of steps whose position lies in one of the half-open ``spans``."""
        return self.filter(positions_in(spans), is_hook=False)

    def nodes(self) -> Self:
        """Select one task for each step of the graph: no hooks, and no tasks for the items of maps."""
        return self.filter(is_hook=False, map_index=-1)

    def size_of_results(self) -> int:
        """Return how many characters the results have together."""
        text = Length(Cast("result", models.TextField()))
        return int(self.aggregate(size=models.Sum(text))["size"] or 0)

    def size_of_items(self, made: Mapping[int, int]) -> int:
        """Return how many characters the results of the items of some maps have together.

        ``made`` is what ``Graph.last_in`` returns for the positions of the maps.
        """
        return self.at_items(made).size_of_results()

    def lists_of_items(self, made: Mapping[int, int]) -> dict[int, list[Any]]:
        """Return the results of maps: the list of the results of their items, by the position of the map.

        ``made`` is what ``Graph.last_in`` returns for the positions of the maps. A map without items is left out.
        """
        found: dict[int, list[Any]] = {}
        rows = self.at_items(made).order_by("position", "map_index").values_list("position", "result")
        for position, result in rows:
            found.setdefault(made[position], []).append(result)
        return found

    def counts_of_items(self, graph: Graph) -> dict[int, dict[str, int]]:
        """Return by the position of each map how many of its tasks have which status. It takes one query."""
        counts: dict[int, dict[str, int]] = {position: {} for position in graph.maps}
        rows = self.filter(map_index__gte=0).order_by().values_list("position", "status")
        for position, found, number in rows.annotate(models.Count("pk")):
            around = counts[graph.node(position).map_position or 0]
            around[found] = around.get(found, 0) + number
        return counts

    def at_items(self, positions: Iterable[int]) -> Self:
        """Select the tasks for the items of maps at some positions."""
        return self.filter(position__in=list(positions), map_index__gte=0)

    def at_places(self, run_id: UUID, places: Sequence[Place]) -> Self:
        """Select the tasks for items of maps at some places of a run, at most ``LISTED`` of them."""
        own = self.filter(run_id=run_id)
        first, position = places[0]
        if len(places) > 1 and all(place == (first + n, position) for n, place in enumerate(places)):
            # No list of ids: Python and the database would need longer for it than for the rows.
            return own.filter(position=position, map_index__gte=first, map_index__lt=first + len(places))
        return own.filter(pk__in=[ids.item_id(run_id, place, index) for index, place in places])

    def in_order(self) -> Self:
        """Sort the tasks in the order of the file, hooks last."""
        return self.order_by("is_hook", "position", "map_index", "generation")

    def for_listing(self) -> Self:
        """Read neither items nor results nor tracebacks."""
        return self.defer(*HEAVY_TASK_FIELDS)
