"""The filters of the list of tasks."""

from __future__ import annotations

from typing import Final, cast
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet, Subquery, UUIDField, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest

from django_director.models import Run, Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import RUN_ACTIVE, TaskStatus

SEARCHED: Final = 5_000
"""Among so many tasks of a status, the newest, the list looks for those of one workflow."""
ACTIVE_NAMED: Final = 1_000
"""So many active runs are named in a query; of more it asks for the status."""


class StatusFilter(admin.ChoicesFieldListFilter):
    """Filters by status; an index finds the unfinished and the failed tasks among millions of other ones."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        found = cast(TaskQuerySet, super().queryset(request, queryset))
        match request.GET.get(self.lookup_kwarg):
            case TaskStatus.QUEUED:
                return found.all_queued()
            case TaskStatus.RUNNING:
                return found.all_running()
            case TaskStatus.PENDING | TaskStatus.WAITING:
                return found.filter(_in_active_runs() | Q(is_hook=True))
        return found


def _in_active_runs() -> Q:
    """Return the condition of tasks in active runs: only these have pending and waiting steps."""
    active = list(Run.objects.active().order_by("-pk").values_list("pk", flat=True)[: ACTIVE_NAMED + 1])
    return Q(run__in=active) if len(active) <= ACTIVE_NAMED else Q(run__status__in=RUN_ACTIVE)


def newest_of_workflow(status: str, workflow: int) -> list[UUID]:
    """Return the ids of a workflow's tasks among the newest ``SEARCHED`` tasks of a status, in one query.

    No index has the tasks of a workflow: if it has few of them, a list would read those of all others, row by row.
    For their ids the indexes are enough.
    """
    newest = Task.objects.filter(status=status).order_by("-run_id").values("run_id")
    oldest = Coalesce(Subquery(newest[SEARCHED - 1 : SEARCHED]), Value(UUID(int=0), output_field=UUIDField()))
    found = Task.objects.filter(status=status, run_id__gte=oldest, run__workflow=workflow).order_by()
    return list(found.values_list("pk", flat=True))
