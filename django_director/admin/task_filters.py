"""The filters of the list of tasks."""

from __future__ import annotations

from typing import cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from django_director.models import Task
from django_director.models.querysets import TaskQuerySet
from django_director.status import TaskStatus


class StatusFilter(admin.ChoicesFieldListFilter):
    """Filters by status; an index finds the queued and the running tasks among millions of finished ones."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        found = cast(TaskQuerySet, super().queryset(request, queryset))
        match request.GET.get(self.lookup_kwarg):
            case TaskStatus.QUEUED:
                return found.all_queued()
            case TaskStatus.RUNNING:
                return found.all_running()
        return found
