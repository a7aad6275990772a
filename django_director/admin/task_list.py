"""The list of tasks: its order, and what is read for a page of it."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import ngettext

from django_director.access.answers import Answers
from django_director.models import Task
from django_director.status import TASK_UNSUCCESSFUL

from . import formatting, task_filters
from .filters import WorkflowOfTask
from .live_pages import LiveList

NEWEST_FIRST: Final = ("-run_id", "-position", "-map_index", "-generation")


class TaskList(LiveList):
    """Finds out for each task whether the user may see its error in full."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Task]) -> list[Any]:
        # The only two orders that an index has.
        is_oldest_first = super().get_ordering(request, queryset)[0] == "run_id"
        return [name.lstrip("-") for name in NEWEST_FIRST] if is_oldest_first else list(NEWEST_FIRST)

    def bounded(self, matching: QuerySet[Task]) -> QuerySet[Task]:
        status, workflow = self.params.get("status__exact"), WorkflowOfTask.chosen(self.params)
        if workflow is None or status not in TASK_UNSUCCESSFUL:
            return matching
        self.note = ngettext(
            "Looked for among the newest %(n)s task of this status.",
            "Looked for among the newest %(n)s tasks of this status.",
            task_filters.SEARCHED,
        ) % {"n": formatting.number(task_filters.SEARCHED)}
        return matching.filter(pk__in=task_filters.newest_of_workflow(status, workflow))

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        sees_payload = Answers.of(request).sees("view_payload")
        for task in self.result_list:
            task.sees_payload = sees_payload(task.run.workflow_id)
