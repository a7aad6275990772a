"""The list of tasks and the page of a task."""

from __future__ import annotations

from typing import Any, Final, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from django_director.access.answers import Answers
from django_director.conf import director
from django_director.definitions import WorkflowStep
from django_director.graph import OWN_TASK, Node
from django_director.models import Task, TaskLog, Workflow
from django_director.models.querysets import TaskQuerySet
from django_director.presentation import hook_names, search, served_queues, stamps, visible_errors
from django_director.presentation.actions import Action
from django_director.presentation.serializers import LOGS_SHOWN
from django_director.status import TaskStatus

from . import arguments, confirm, decisions, formatting, operations, returns, task_filters, task_lines
from .filters import WorkflowOfTask
from .live_pages import LiveAdmin
from .operations import Operation
from .task_list import NEWEST_FIRST, TaskList

UPSTREAM_SHOWN: Final = 20
ATTEMPTS_SHOWN: Final = 50
ITEMS_SHOWN: Final = 200
"""The results of a map with more items are not read for a page."""


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
        "The beginning of an id of a task or run, or the exact name of a step or Celery task"
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
        return tasks.order_by("-pk")

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
                self.guard(require_http_methods(["GET", "POST"])(view)),
                {"name": name},
                name=f"django_director_task_{name}",
            )
            for name, view in views.items()
        ]
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
        approval = decisions.describe_approval(obj, request.user, sees_payload=sees_payload)
        context = {**_context(obj, sees_payload=sees_payload), "approval": approval}
        return self.render(request, "task.html", context | {"buttons": self._buttons(request, obj)})

    def operate(self, request: HttpRequest, task_id: UUID, name: str) -> HttpResponse:
        """Show on GET what the operation would do, and do it on POST."""
        operation = operations.OF_TASKS[name]
        task = self._task_for(request, task_id, operation.action)
        if request.method == "POST":
            after = operations.perform_on_one(request, operation, task)
            return HttpResponseRedirect(formatting.address("task_change", after.pk, site=self.admin_site.name))
        return self.render(request, "confirm.html", confirm.context(operation, task))

    def decide(self, request: HttpRequest, task_id: UUID, name: str) -> HttpResponse:
        """Show on GET what the approval asks, and decide on POST."""
        decision = decisions.ALL[name]
        own = formatting.address("task_change", task_id, site=self.admin_site.name)
        back = returns.address(request, own)
        task = self._task_for(request, task_id, decision.action)
        form = decisions.DecisionForm(request.POST or None, initial={"asked": task.sequence})
        if request.method == "POST" and form.is_valid():
            decisions.perform(request, decision, task, form)
            return HttpResponseRedirect(back)
        context = decisions.context(decision, task, form) | {"back": back}
        return self.render(request, "decide.html", context)

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


def _context(task: Task, *, sees_payload: bool) -> dict[str, Any]:
    node = task.run.version.graph.node(task.position)
    attempts = list(task.attempts.order_by("-pk")[:ATTEMPTS_SHOWN])
    return {
        "title": formatting.name(task.label),
        "subtitle": _("Task of %(workflow)s") % {"workflow": formatting.name(task.run.workflow.name)},
        "task": task,
        "hook": hook_names.of_task(task),
        "badge": task_lines.badge(task),
        "run_badge": formatting.badge(task.run.shown_status),
        "facts": list(_facts(task, node, sees_payload=sees_payload)),
        "description": node.step.description,
        "upstream": _upstream(task, node),
        "more_upstream": max(0, len(node.upstream) - UPSTREAM_SHOWN),
        "attempts": [
            (
                attempt,
                formatting.badge(attempt.outcome, str(attempt.get_outcome_display())),
                formatting.moment(attempt.started_at),
                formatting.moment(attempt.finished_at),
                formatting.limited(visible_errors.of_task(attempt.error, sees_payload=sees_payload)),
                formatting.limited(attempt.traceback) if sees_payload else None,
            )
            for attempt in attempts
        ],
        "logs": _logs(task) if sees_payload else [],
        "error": formatting.limited(visible_errors.of_task(task.error, sees_payload=sees_payload)),
        "sees_payload": sees_payload,
        "masked_note": formatting.masked_note(),
        **(_values(task, node) if sees_payload else {}),
    }


def _logs(task: Task) -> list[tuple[TaskLog, formatting.Text]]:
    """Return the log lines of the last attempts, the newest attempt first."""
    rows = task.logs.order_by("-sequence")[:LOGS_SHOWN]
    return [(row, formatting.limited_end(row.text)) for row in rows]


def _facts(task: Task, node: Node, *, sees_payload: bool) -> list[tuple[str, Any]]:
    reason = visible_errors.reason(task.reason, sees_payload=sees_payload)
    facts = [
        (_("Kind"), node.kind if node.name == OWN_TASK else ""),
        (_("Celery task"), formatting.name(task.name) if node.name != OWN_TASK else ""),
        (_("Workflow"), formatting.name(node.step.workflow) if isinstance(node.step, WorkflowStep) else ""),
        (_("Item"), f"{task.map_index:,}" if task.map_index >= 0 else ""),
        (_("Items"), task_lines.count_items(task)),
        (_("Attempt"), task.attempt),
        (_("Queue"), formatting.name(served_queues.Names().of(task))),
        (_("Worker"), formatting.name(task.worker)),
        (_("Queued"), formatting.moment(task.queued_at)),
        (_("Started"), formatting.moment(task.started_at)),
        (_("Finished"), formatting.moment(task.finished_at)),
        (_("Duration"), formatting.elapsed(task)),
        (_("Not before"), formatting.moment(task.not_before) if task.not_before else ""),
        (_("Lost workers"), task.crashes or ""),
        (_("Waits until"), formatting.moment(task.deadline_at) if _is_timer(task, node) else ""),
        (_("Waits"), _explain_wait(task)),
        (_("Reason"), reason if node.kind != "approval" or task.decision is None else ""),
    ]
    return [(label, value) for label, value in facts if value not in ("", formatting.NOTHING)]


def _explain_wait(task: Task) -> str:
    """Return why no worker takes a queued task, as far as that is known. It takes one query for such a task."""
    if task.status != TaskStatus.QUEUED or task.unsendable_since is not None:
        return ""
    if task.run.paused_at is not None:
        return _("held back while the run is paused")
    queue = served_queues.of_task(task)
    if not served_queues.Workers.load().lack(queue):
        return ""
    return _("no worker takes from this queue; %(cure)s") % {"cure": served_queues.way_out(formatting.name(queue))}


def _is_timer(task: Task, node: Node) -> bool:
    return task.status == TaskStatus.WAITING and node.kind == "wait" and task.deadline_at is not None


def _upstream(task: Task, node: Node) -> list[tuple[Task, SafeString]]:
    if task.is_hook or not node.upstream:
        return []
    shown = [(position, position + 1) for position in sorted(node.upstream)[:UPSTREAM_SHOWN]]
    rows = task.run.tasks.at(shown).filter(map_index__in=(-1, task.map_index)).for_listing().in_order()
    return [(row, formatting.badge(row.status)) for row in rows]


def _values(task: Task, node: Node) -> dict[str, Any]:
    schema = task.run.version.graph.definition.schema
    call = arguments.of_task(task, node)
    given = node.step.payload if isinstance(node.step, WorkflowStep) else node.kwargs
    return {
        "payload": formatting.json_text(task.run.payload, schema),
        "call": call,
        "arguments": formatting.json_text(given) if given and call is None else None,
        "is_child": isinstance(node.step, WorkflowStep),
        "item": None if node.map_position is None else formatting.json_text(arguments.find_item(task, node)),
        "result": _result(task) if task.status == TaskStatus.SUCCESS else None,
        "traceback": formatting.limited(task.traceback),
    }


def _result(task: Task) -> formatting.Text:
    if (task.map_count or 0) > ITEMS_SHOWN:
        text = _("The result is the list of the results of %(items)s items: see their tasks.")
        return formatting.Text("", text % {"items": f"{task.map_count:,}"})
    value, error = task.read_result()
    return formatting.Text("", error) if error else formatting.json_text(value)
