"""What people are asked: who may decide, the page before a decision, the decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_director import engine
from django_director.access.authorization import is_allowed, needed_for, require, to_decide
from django_director.definitions import ApprovalStep
from django_director.engine.history import record_on_task
from django_director.exceptions import DirectorError
from django_director.models import COMMENT_LENGTH, Task
from django_director.presentation import served_queues, visible_errors
from django_director.status import TaskStatus

from . import formatting

LOOKED_AT: Final = 500
"""Among how many open questions those for one user are looked for, oldest first."""
PROMPT_SHOWN: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A button of an approval."""

    name: str
    label: str | Promise
    word: str
    """What it does, as the history says it."""
    perform: Callable[..., Task]
    consequence: str | Promise


ALL: Final = {
    decision.name: decision
    for decision in (
        Decision(
            name="approve",
            label=gettext_lazy("Approve"),
            word="Approved",
            perform=engine.approve,
            consequence=gettext_lazy("The run goes on with what comes after this step."),
        ),
        Decision(
            name="reject",
            label=gettext_lazy("Reject"),
            word="Rejected",
            perform=engine.reject,
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
    """Decide and write it down; what the state does not allow becomes a warning."""
    require(request.user, to_decide(task), task.run.workflow)
    if form.cleaned_data["asked"] != task.sequence:
        messages.warning(request, _("It has been asked anew since you looked. Look again, then decide."))
        return
    comment = form.cleaned_data["comment"]
    try:
        decided = decision.perform(task, user=request.user, comment=comment)
    except DirectorError as error:
        messages.warning(request, str(error))
        return
    record_on_task(request.user, decided, f"{decision.word} (admin)")
    messages.success(request, _("%(step)s: %(reason)s") % {"step": task.label, "reason": decided.reason})


def context(decision: Decision, task: Task, form: DecisionForm) -> dict[str, Any]:
    """What the page before a decision needs."""
    try:
        engine.check_waits(task, decision.word.lower())
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


def shown(task: Task, user: Any, *, sees_payload: bool) -> dict[str, Any] | None:
    """The approval on its task's page; ``None`` for another task."""
    step = task.run.version.graph.node(task.position).step
    if not isinstance(step, ApprovalStep):
        return None
    is_open = task.asked_at is not None and task.status == TaskStatus.WAITING
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


def for_user(user: Any, tasks: QuerySet[Task]) -> list[Task]:
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

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("you", gettext_lazy("your decision")), ("anybody", gettext_lazy("anybody's decision"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        if self.value() == "you":
            return queryset.filter(pk__in=[task.pk for task in for_user(request.user, queryset)])
        if self.value() == "anybody":
            return queryset.filter(asked_at__isnull=False, status=TaskStatus.WAITING)
        return queryset


def waiting_text(task: Task) -> str:
    """What a task waits for, for lists; '' when it does not wait for a person or a time."""
    if task.status != TaskStatus.WAITING:
        return ""
    parts = [task.reason] if task.reason else []
    until = task.deadline_at or task.not_before
    if until is not None:
        parts.append(_("until %(moment)s") % {"moment": formatting.moment(until)})
    if task.asked_at is not None and (asked := prompt(task)):
        parts.append(f"“{formatting.name(asked)}”")
    return " ".join(parts)


def why(task: Task, *, sees_payload: bool) -> str:
    """Why a task is in its status, on one line of a list."""
    error = visible_errors.of_task(task.error, sees_payload=sees_payload)
    reason = visible_errors.reason(task.reason, sees_payload=sees_payload)
    text = waiting_text(task) or error or reason
    return formatting.error_line("; ".join(filter(None, [queued_text(task), text])))


def queued_text(task: Task) -> str:
    """In which queue a queued task waits, and since when; empty for another, and for one that can't be sent."""
    if task.status != TaskStatus.QUEUED or task.unsendable_since is not None:
        return ""
    if task.run.paused_at is not None:
        return _("held back while the run is paused")
    queue = formatting.name(served_queues.of_task(task))
    text = _("in queue `%(queue)s` since %(since)s") if queue else _("in a queue since %(since)s")
    return text % {"queue": queue, "since": formatting.moment(task.queued_at)}


def badge(task: Task) -> SafeString:
    """The status of a task; who is asked shows beside it."""
    label = _("waiting for approval") if task.asked_at is not None else ""
    return formatting.badge(task.status, label if task.status == TaskStatus.WAITING else "")
