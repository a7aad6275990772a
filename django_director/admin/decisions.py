"""Approvals in the admin: what the pages of runs and tasks show of them, and the page on which a user decides."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_director.access.authorization import action_to_decide, is_allowed, needed_for
from django_director.common.texts import readable
from django_director.definitions import ApprovalStep
from django_director.exceptions import DirectorError
from django_director.models import COMMENT_LENGTH, Run, Task
from django_director.models.users import User
from django_director.models.workflows import load_graphs
from django_director.presentation import visible_errors
from django_director.presentation.actions import ACTIONS, Action, is_asked
from django_director.status import TaskStatus

from . import formatting, reasons, run_preview
from .base import VIA

SEARCHED: Final = 500
"""Among how many open approvals the list looks for those of one user, the oldest first."""
PROMPT_SHOWN: Final = 2_000
RUN_SHOWN: Final = 80


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A button with which a user decides on an approval."""

    action: Action
    label: str | Promise
    consequence: str | Promise

    @property
    def name(self) -> str:
        """Return the name of the decision in addresses."""
        return self.action.verb


ALL: Final = {
    decision.name: decision
    for decision in (
        Decision(
            action=ACTIONS["approve"],
            label=gettext_lazy("Approve"),
            consequence=gettext_lazy("The run goes on with what comes after this step."),
        ),
        Decision(
            action=ACTIONS["reject"],
            label=gettext_lazy("Reject"),
            consequence=gettext_lazy("The step fails. A retry of the run asks again."),
        ),
    )
}


class DecisionForm(forms.Form):
    """Takes the comment, and which question the user has seen: the approval may have been asked again since."""

    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        required=False,
        max_length=COMMENT_LENGTH,
        widget=forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField"}),
    )
    asked = forms.IntegerField(widget=forms.HiddenInput)


def perform(request: HttpRequest, decision: Decision, task: Task, form: DecisionForm) -> None:
    """Decide on an approval, and warn the user if its state does not allow that."""
    decision.action.require(request.user, task)
    if form.cleaned_data["asked"] != task.sequence:
        messages.warning(request, _("It has been asked anew since you looked. Look again, then decide."))
        return
    comment = form.cleaned_data["comment"]
    try:
        decided = decision.action.operation(task, user=request.user, comment=comment, via=VIA)
    except DirectorError as error:
        messages.warning(request, readable(str(error)))
        return
    text = _("%(step)s of %(workflow)s, %(run)s: %(reason)s")
    named = {"step": formatting.name(task.label), "workflow": formatting.name(task.run.workflow.name)}
    messages.success(
        request, text % {**named, "run": name_run(task.run), "reason": readable(reasons.translate(decided.reason))}
    )


def name_run(run: Run) -> str:
    """Return what tells a run from others of its workflow: its comment, or else its short id."""
    comment = formatting.shortened_line(run.comment, RUN_SHOWN)
    return formatting.quoted(comment) if comment else formatting.short_id(run.pk)


def context(decision: Decision, task: Task, form: DecisionForm, *, sees_payload: bool) -> dict[str, Any]:
    """Return what the template of the page before a decision needs."""
    try:
        decision.action.preview(task)
        refusal = ""
    except DirectorError as error:
        refusal = str(error)
    return {
        "title": f"{decision.label}: {formatting.name(task.label)}",
        "workflow_name": formatting.name(task.run.workflow.name),
        "task": task,
        "badge": formatting.badge(task.status),
        "decision": decision,
        "is_danger": decision.name == "reject",
        "after": _names_after(task),
        "prompt": prompt(task),
        **_describe_run(task),
        "payload": _payload(task.run) if sees_payload else None,
        "refusal": refusal,
        "form": form,
    }


def _names_after(task: Task) -> str:
    """Return the names of the first steps that wait for an approval; empty if it is the last."""
    graph = task.run.version.graph
    names = [node.step.id for node in graph.nodes if task.position in node.upstream]
    return run_preview.listed(names)


def describe_approval(task: Task, user: User, *, sees_payload: bool) -> dict[str, Any] | None:
    """Return what the page of a task shows of its approval; ``None`` for a task that is no approval."""
    step = task.run.version.graph.node(task.position).step
    if not isinstance(step, ApprovalStep):
        return None
    is_open = is_asked(task)
    may_decide = is_allowed(user, action_to_decide(task), task.run.workflow)
    decision = visible_errors.decision(task.decision, sees_payload=sees_payload) or {}
    return {
        "prompt": prompt(task),
        "facts": list(_facts(task, step)),
        # The comment of a rejection stands in the error of the task.
        "comment": "" if task.error else decision.get("comment", ""),
        "buttons": list(ALL.values()) if is_open and may_decide else [],
        "is_for_others": is_open and not may_decide,
    }


def read_tasks(run: Run, chosen: list[UUID]) -> list[Task]:
    """Return the tasks with the ids ``chosen``, in their order, for the page of ``run``.

    It takes one query, and none without ids.
    """
    if not chosen:
        return []
    rows = Task.objects.for_listing().select_related("run__workflow", "run__version")
    heavy = ("run__payload", "run__version__definition", "run__version__source")
    found = rows.defer(*heavy).in_bulk(chosen)
    for task in found.values():
        if task.run_id == run.pk:
            task.run = run
    return [found[pk] for pk in chosen if pk in found]


def describe_question(run: Run, task: Task, user: User) -> dict[str, Any] | None:
    """Return what ``task`` asks, for the page of ``run``; ``None`` if ``user`` may not see it.

    Of a child run the user must also see the tasks.
    """
    workflow, is_below = task.run.workflow, task.run_id != run.pk
    if is_below and not all(is_allowed(user, each, workflow) for each in ("view_run", "view_task")):
        return None
    return {
        "task": task,
        "prompt": prompt(task),
        "child": task.run if is_below else None,
        "buttons": list(ALL.values()) if is_allowed(user, action_to_decide(task), workflow) else [],
    }


def prompt(task: Task) -> str:
    """Return what an approval asks, cut to the length that a page has room for."""
    step = task.run.version.graph.node(task.position).step
    return step.prompt[:PROMPT_SHOWN] if isinstance(step, ApprovalStep) else ""


def _facts(task: Task, step: ApprovalStep) -> Iterator[tuple[str, Any]]:
    yield _("Who may decide"), needed_for(action_to_decide(task), task.run.workflow)
    if task.asked_at is not None:
        yield _("Asked"), formatting.moment(task.asked_at)
    if task.status == TaskStatus.WAITING and task.deadline_at is not None:
        yield _("Until"), formatting.moment(task.deadline_at)
        yield _("Then"), _on_timeout(step)
    if task.decision is not None:
        # The page shows the comment apart, because it may be long.
        reason = task.reason.partition(":")[0] if task.decision["comment"] else task.reason
        yield _("Decision"), reasons.translate(reason)
        yield _("Decided"), formatting.moment(task.finished_at)


def _on_timeout(step: ApprovalStep) -> str:
    return {"approve": _("approved"), "reject": _("rejected"), "skip": _("left out")}[step.on_timeout]


def _describe_run(task: Task) -> dict[str, Any]:
    """Return whose run waits for an approval, and until when it waits."""
    run, step = task.run, task.run.version.graph.node(task.position).step
    name, text = run.get_trigger_display(), _("trigger: %(name)s")
    if run.user_name:
        name, text = formatting.name(run.user_name), _("started by %(name)s")
    return {
        "run_comment": run.comment,
        "starter": text % {"name": name},
        "until": formatting.clock(task.deadline_at) if task.deadline_at is not None else "",
        "then": _on_timeout(step) if isinstance(step, ApprovalStep) else "",
    }


def _payload(run: Run) -> formatting.Text:
    return formatting.json_text(run.payload, run.version.graph.definition.schema)


def read_payloads(tasks: Collection[Task]) -> None:
    """Read the payloads of the runs of ``tasks``, in one query; without tasks it takes none."""
    runs = {task.run_id for task in tasks}
    found = dict(Run.objects.filter(pk__in=runs).order_by().values_list("pk", "payload")) if runs else {}
    for task in tasks:
        task.run.payload = found.get(task.run_id)


def open_approvals(user: User) -> list[Task]:
    """Return the open approvals on which the user may decide, the oldest first, read as for a list."""
    rows = Task.objects.for_listing().select_related("run__workflow", "run__version")
    return find_for_user(user, rows.defer("run__payload", "run__version__definition", "run__version__source"))


def describe_asked(task: Task, *, sees_payload: bool) -> dict[str, Any]:
    """Return what the overview shows of an approval on which its user may decide.

    For a user who ``sees_payload`` the payload of the run must have been read.
    """
    return {
        **_describe_run(task),
        "payload": _payload(task.run) if sees_payload else None,
        "task": task,
        "label": formatting.name(task.label),
        "workflow": formatting.name(task.run.workflow.name),
        "prompt": prompt(task),
        "buttons": list(ALL.values()),
        "form": DecisionForm(initial={"asked": task.sequence}, auto_id=f"decide-{task.pk}-%s"),
    }


def find_for_user(user: User, tasks: QuerySet[Task]) -> list[Task]:
    """Return the open approvals among ``tasks`` on which the user may decide, the oldest first."""
    known: dict[tuple[int, str], bool] = {}
    found = []
    asked = list(tasks.filter(asked_at__isnull=False, status=TaskStatus.WAITING).order_by("asked_at")[:SEARCHED])
    load_graphs(task.run.version for task in asked)
    for task in asked:
        key = task.run.workflow_id, action_to_decide(task)
        if key not in known:
            known[key] = is_allowed(user, key[1], task.run.workflow)
        if known[key]:
            found.append(task)
    return found


class WaitingFilter(SimpleListFilter):
    """Filters the tasks that wait for a decision."""

    title = gettext_lazy("waiting for")
    parameter_name = "decision"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("you", gettext_lazy("your decision")), ("anybody", gettext_lazy("anybody's decision"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        if self.value() == "you":
            return queryset.filter(pk__in=[task.pk for task in find_for_user(request.user, queryset)])
        if self.value() == "anybody":
            return queryset.filter(asked_at__isnull=False, status=TaskStatus.WAITING)
        return queryset
