"""The list of tasks and the page of a task."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from django_director.access.answers import Answers
from django_director.conf import director
from django_director.models import Task, Workflow
from django_director.models.querysets import TaskQuerySet
from django_director.presentation import hook_names, search, silent_workers, stamps
from django_director.presentation.actions import Action

from . import (
    confirm,
    decisions,
    formatting,
    operations,
    returns,
    task_downloads,
    task_filters,
    task_lines,
    task_page,
)
from .filters import WorkflowOfTask
from .live_pages import LiveAdmin
from .operations import Operation
from .task_list import NEWEST_FIRST, TaskList


@admin.register(Task)
class TaskAdmin(LiveAdmin[Task]):
    view_action = "view_task"
    newest_first = "run_id"
    stamp_of_rows = staticmethod(stamps.of_tasks)
    list_display = ("label", "state", "workflow_name", "run_id_short", "attempt", "started", "took", "error_text")
    list_filter = (
        ("status", task_filters.StatusFilter),
        decisions.WaitingFilter,
        "is_hook",
        WorkflowOfTask,
    )
    search_fields = ("step",)
    search_help_text = gettext_lazy(
        "The beginning of an id of a task or run, the exact name of a step or Celery task, or an item of a map "
        "as STEP[13]"
    )
    # The last runs come first. Ids of tasks can't give this order: the id of a hook says nothing of its time.
    ordering = NEWEST_FIRST

    def workflow_of(self, obj: Task) -> Workflow:
        return obj.run.workflow

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        tasks = (
            Task.objects.for_listing()
            .select_related("run__workflow", "run__version")
            .defer("run__payload", "run__version__definition", "run__version__source", "result", "traceback")
        )
        if director.AUTHORIZE:
            tasks = tasks.filter(Answers.of(request).where(self.view_action, "run__workflow"))
        return silent_workers.marked(tasks).order_by("-pk")

    def get_changelist(self, request: HttpRequest, **kwargs: object) -> type[ChangeList]:
        return TaskList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Task], search_term: str
    ) -> tuple[QuerySet[Task], bool]:
        term = search_term.strip()
        return (search.find_tasks(cast(TaskQuerySet, queryset), term) if term else queryset), False

    def get_urls(self) -> list[URLPattern]:
        views = dict.fromkeys(operations.OF_TASKS, self.operate) | dict.fromkeys(decisions.ALL, self.decide)
        own = [
            path(
                f"<uuid:task_id>/{name}/",
                self.guard(require_http_methods(["GET", "HEAD", "POST"])(view)),
                {"name": name},
                name=f"django_director_task_{name}",
            )
            for name, view in views.items()
        ]
        address, name = "<uuid:task_id>/download/<str:part>/", "django_director_task_download"
        own.append(path(address, self.guard(require_safe(self.download)), name=name))
        return [*own, *super().get_urls()]

    @admin.display(description=gettext_lazy("step"))
    def label(self, task: Task) -> SafeString | str:
        label, hook = formatting.name(task.label), hook_names.of_task(task)
        return format_html('{} <span class="director-quiet">{}</span>', label, hook) if hook else label

    @admin.display(description=gettext_lazy("status"))
    def state(self, task: Task) -> SafeString:
        return task_lines.badge(task)

    @admin.display(description=gettext_lazy("workflow"))
    def workflow_name(self, task: Task) -> str:
        return formatting.name(task.run.workflow.name)

    @admin.display(description=gettext_lazy("run"), ordering="run_id")
    def run_id_short(self, task: Task) -> SafeString:
        return formatting.unbroken(formatting.short_id(task.run_id))

    @admin.display(description=gettext_lazy("started"))
    def started(self, task: Task) -> SafeString:
        return format_html('<span class="director-number">{}</span>', formatting.when(task.started_at))

    @admin.display(description=gettext_lazy("duration"))
    def took(self, task: Task) -> SafeString:
        return formatting.unbroken(formatting.elapsed(task))

    @admin.display(description=gettext_lazy("error"))
    def error_text(self, task: Task) -> SafeString | str:
        why = task_lines.explain_status(task, sees_payload=task.sees_payload)  # type: ignore[attr-defined]
        return format_html('<span class="director-line">{}</span>', why) if why else ""

    def stamp(self, request: HttpRequest, obj: Task) -> object:
        return stamps.of_run(obj.run), stamps.of_logs(task=obj.pk)

    def page(self, request: HttpRequest, obj: Task) -> HttpResponse:
        sees_payload = self.allows(request, "view_payload", obj)
        context = task_page.context(request, obj, self.admin_site.name, sees_payload=sees_payload)
        approval = decisions.describe_approval(obj, request.user, sees_payload=sees_payload)
        context |= {"buttons": self._buttons(request, obj), "approval": approval}
        return self.render(request, "task.html", context)

    def download(self, request: HttpRequest, task_id: UUID, part: str) -> HttpResponse:
        """Answer with a value of a task as a file."""
        task: Task | None = self.get_queryset(request).filter(pk=task_id).first()
        if task is None:
            raise Http404
        self.require(request, "view_payload", task)
        return task_downloads.answer(request, task, part)

    def operate(self, request: HttpRequest, task_id: UUID, name: str) -> HttpResponse:
        """Show on GET what the operation would do, and do it on POST."""
        operation = operations.OF_TASKS[name]
        back = self._way_back(request, task_id)
        task = self._task_for(request, task_id, operation.action)
        if request.method == "POST":
            confirm.perform(request, operation, task)
            return HttpResponseRedirect(back)
        context = confirm.context(operation, task, Answers.of(request), self.admin_site.name, back)
        return self.render(request, "confirm.html", context)

    def decide(self, request: HttpRequest, task_id: UUID, name: str) -> HttpResponse:
        """Show on GET what the approval asks, and decide on POST."""
        decision = decisions.ALL[name]
        back = self._way_back(request, task_id)
        task = self._task_for(request, task_id, decision.action)
        form = decisions.DecisionForm(request.POST or None, initial={"asked": task.sequence})
        if request.method == "POST" and form.is_valid():
            decisions.perform(request, decision, task, form)
            return HttpResponseRedirect(back)
        sees_payload = self.allows(request, "view_payload", task)
        context = decisions.context(decision, task, form, sees_payload=sees_payload) | {"back": back}
        return self.render(request, "decide.html", context)

    def _way_back(self, request: HttpRequest, task_id: UUID) -> str:
        return returns.address(request, formatting.address("task_change", task_id, site=self.admin_site.name))

    def _task_for(self, request: HttpRequest, task_id: UUID, action: Action) -> Task:
        task: Task | None = self.get_queryset(request).filter(pk=task_id).first()
        if task is None:
            raise Http404
        self.require(request, action.asks_for(task), task)
        return task

    def _buttons(self, request: HttpRequest, task: Task) -> list[Operation]:
        return [
            operation
            for operation in operations.OF_TASKS.values()
            if operation.is_possible(task)
            and all(self.allows(request, action, task) for action in operation.asks_for)
        ]
