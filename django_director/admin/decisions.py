"""What people are asked: on the pages of run and task, on the page before a decision; and the decision."""

from __future__ import annotations

from collections.abc import Iterator
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

from django_director.access.authorization import is_allowed, needed_for, to_decide
from django_director.definitions import ApprovalStep
from django_director.exceptions import DirectorError
from django_director.models import COMMENT_LENGTH, Run, Task
from django_director.models.users import User
from django_director.presentation import visible_errors
from django_director.presentation.actions import ACTIONS, Action, is_asked
from django_director.status import TaskStatus

from . import formatting
from .base import VIA

LOOKED_AT: Final = 500
"""Among how many open questions those for one user are looked for, oldest first."""
PROMPT_SHOWN: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A button of an approval."""

    action: Action
    label: str | Promise
    consequence: str | Promise

    @property
    def name(self) -> str:
        """Its name in addresses."""
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
    """The comment, and which asking the page has shown."""

    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        required=False,
        max_length=COMMENT_LENGTH,
        widget=forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField"}),
    )
    asked = forms.IntegerField(widget=forms.HiddenInput)


def perform(request: HttpRequest, decision: Decision, task: Task, form: DecisionForm) -> None:
    """Decide; what the state does not allow becomes a warning."""
    decision.action.require(request.user, task)
    if form.cleaned_data["asked"] != task.sequence:
        messages.warning(request, _("It has been asked anew since you looked. Look again, then decide."))
        return
    comment = form.cleaned_data["comment"]
    try:
        decided = decision.action.operation(task, user=request.user, comment=comment, via=VIA)
    except DirectorError as error:
        messages.warning(request, str(error))
        return
    messages.success(request, _("%(step)s: %(reason)s") % {"step": task.label, "reason": decided.reason})


def context(decision: Decision, task: Task, form: DecisionForm) -> dict[str, Any]:
    """What the page before a decision needs."""
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
        "prompt": prompt(task),
        "refusal": refusal,
        "form": form,
    }


def shown(task: Task, user: User, *, sees_payload: bool) -> dict[str, Any] | None:
    """The approval on its task's page; ``None`` for another task."""
    step = task.run.version.graph.node(task.position).step
    if not isinstance(step, ApprovalStep):
        return None
    is_open = is_asked(task)
    may_decide = is_allowed(user, to_decide(task), task.run.workflow)
    decision = visible_errors.decision(task.decision, sees_payload=sees_payload) or {}
    return {
        "prompt": prompt(task),
        "facts": list(_facts(task, step)),
        # That of a rejection stands in the error.
        "comment": "" if task.error else decision.get("comment", ""),
        "buttons": list(ALL.values()) if is_open and may_decide else [],
        "is_for_others": is_open and not may_decide,
    }


def asked_in(run: Run, chosen: list[UUID]) -> list[Task]:
    """The tasks with these ids, in this order, for the page of ``run``. One query, if there are any."""
    if not chosen:
        return []
    rows = Task.objects.for_listing().select_related("run__workflow", "run__version")
    heavy = ("run__payload", "run__version__definition", "run__version__source")
    found = rows.defer(*heavy).in_bulk(chosen)
    for task in found.values():
        if task.run_id == run.pk:
            task.run = run
    return [found[pk] for pk in chosen if pk in found]


def question(run: Run, task: Task, user: User) -> dict[str, Any] | None:
    """What ``task`` asks, on the page of ``run``; ``None`` where ``user`` may not see the run that asks it."""
    workflow, is_below = task.run.workflow, task.run_id != run.pk
    if is_below and not is_allowed(user, "view_run", workflow):
        return None
    return {
        "task": task,
        "prompt": prompt(task),
        "child": task.run if is_below else None,
        "buttons": list(ALL.values()) if is_allowed(user, to_decide(task), workflow) else [],
    }


def prompt(task: Task) -> str:
    """What is asked, as long as a page has room for."""
    step = task.run.version.graph.node(task.position).step
    return step.prompt[:PROMPT_SHOWN] if isinstance(step, ApprovalStep) else ""


def _facts(task: Task, step: ApprovalStep) -> Iterator[tuple[str, Any]]:
    yield _("Who may decide"), needed_for(to_decide(task), task.run.workflow)
    if task.asked_at is not None:
        yield _("Asked"), formatting.moment(task.asked_at)
    if task.status == TaskStatus.WAITING and task.deadline_at is not None:
        yield _("Until"), formatting.moment(task.deadline_at)
        yield (
            _("Then"),
            {"approve": _("approved"), "reject": _("rejected"), "skip": _("left out")}[step.on_timeout],
        )
    if task.decision is not None:
        # With its comment apart: that may be long.
        yield _("Decision"), task.reason.partition(":")[0] if task.decision["comment"] else task.reason
        yield _("Decided"), formatting.moment(task.finished_at)


def for_user(user: User, tasks: QuerySet[Task]) -> list[Task]:
    """The open questions among ``tasks`` that the user may decide, oldest first."""
    known: dict[tuple[int, str], bool] = {}
    found = []
    for task in tasks.filter(asked_at__isnull=False, status=TaskStatus.WAITING).order_by("asked_at")[:LOOKED_AT]:
        key = task.run.workflow_id, to_decide(task)
        if key not in known:
            known[key] = is_allowed(user, key[1], task.run.workflow)
        if known[key]:
            found.append(task)
    return found


class WaitingFilter(SimpleListFilter):
    """Tasks that wait for a decision."""

    title = gettext_lazy("waiting for")
    parameter_name = "decision"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("you", gettext_lazy("your decision")), ("anybody", gettext_lazy("anybody's decision"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        if self.value() == "you":
            return queryset.filter(pk__in=[task.pk for task in for_user(request.user, queryset)])
        if self.value() == "anybody":
            return queryset.filter(asked_at__isnull=False, status=TaskStatus.WAITING)
        return queryset
