"""The page of a run: its head, its picture, its tasks, its payload and its result."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_director.access.answers import Answers
from django_director.access.authorization import is_allowed
from django_director.access.families import shown_parents
from django_director.models import Run
from django_director.models.users import User
from django_director.presentation import relaunches
from django_director.presentation.serializers import shown_key
from django_director.status import RunStatus, TaskStatus

from . import (
    data_tab,
    decisions,
    events,
    failure_card,
    formatting,
    graph_view,
    merged_log,
    operations,
    steps_tab,
    timeline,
    turns,
)
from .bars import draw_segments
from .links import named_run
from .run_state import ASKED_SHOWN, RunState
from .task_rows import since

PRIMARY: Final = {RunStatus.FAILED: "retry", RunStatus.CANCELED: "retry", "paused": "resume"}
"""By the shown status of a run: the operation that most people want then."""
TABS: Final = {
    "steps": gettext_lazy("Steps"),
    "timeline": gettext_lazy("Timeline"),
    "log": gettext_lazy("Log"),
    "data": gettext_lazy("Data"),
    "events": gettext_lazy("Events"),
}
"""The tabs of the page, by their names in its address."""
NAME_ZONE: Final = ("steps", "timeline", "events")
"""The tabs that name the time zone beside their times; below the others the page does."""
TEMPLATES: Final = {"steps": "_run_steps"}
"""The templates of tabs that are not named as they are."""


def context(
    request: HttpRequest, run: Run, permitted: list[str], site: str, *, sees_payload: bool, sees_tasks: bool
) -> dict[str, Any]:
    """Return what the template needs; the number of queries does not depend on the run."""
    unfold = request.GET.get("unfold")
    state = RunState(run, site, sees_payload=sees_payload, sees_tasks=sees_tasks, unfold=unfold)
    return {
        "title": formatting.name(run.workflow.name),
        "subtitle": _("Run %(id)s") % {"id": run.pk},
        "run": run,
        "state": state,
        "parent": run.parent_task if shown_parents([run], Answers.of(request)) else None,
        "sees_workflow": is_allowed(request.user, "view_workflow", run.workflow),
        "buttons": [
            (operation, not operation.is_possible(run))
            for name, operation in operations.OF_RUNS.items()
            if name in permitted
        ],
        "sees_payload": sees_payload,
        "masked_note": formatting.masked_note(),
        "concurrency_key": shown_key(run) if sees_payload else None,
        **_head(state),
        **_waiting(state),
        **_relaunches(state),
        **_questions(state, request.user),
        **_tabs(request, state),
    }


def _tabs(request: HttpRequest, state: RunState) -> dict[str, Any]:
    """Return the links of the tabs, and what the chosen one shows."""
    tab = request.GET.get("tab", "")
    labels = TABS if state.sees_tasks else {name: TABS[name] for name in ("steps", "data", "events")}
    tab = tab if tab in labels else "steps"
    return {
        "tab": tab,
        "tab_template": f"admin/django_director/{TEMPLATES.get(tab, f'_{tab}')}.html",
        "tabs": [(name, label, f"?tab={name}" if name != "steps" else "?") for name, label in labels.items()],
        "zone": formatting.zone() if state.run.finished_at or (tab in NAME_ZONE and state.sees_tasks) else "",
        **_tab(request, state, tab),
    }


def _tab(request: HttpRequest, state: RunState, tab: str) -> dict[str, Any]:
    run = state.run
    match tab:
        case "timeline":
            return timeline.context(run, state.links.to_task)
        case "log":
            return merged_log.context(run, request) if state.sees_payload else {}
        case "data":
            return data_tab.context(run) if state.sees_payload else {}
        case "events":
            return events.context(run, sees_payload=state.sees_payload, sees_tasks=state.sees_tasks)
    return {
        **(graph_view.of_run(request, state) if state.sees_tasks else {}),
        "failure": _failure(state, request.user),
        **(steps_tab.context(request, state) if state.sees_tasks else {}),
    }


def _failure(state: RunState, user: User) -> dict[str, Any]:
    stopped = state.counts[TaskStatus.UPSTREAM_FAILED]
    return failure_card.context(
        state.run, user, sees_payload=state.sees_payload, sees_tasks=state.sees_tasks, stopped=stopped
    )


def _head(state: RunState) -> dict[str, Any]:
    """Return the status, the progress and the times of a run."""
    finished, total = state.progress
    return {
        "segments": draw_segments(state.counts),
        "ended": formatting.when(state.run.finished_at) if state.run.finished_at else "",
        "badge": formatting.badge(state.run.shown_status),
        "lacks_worker": state.lacks_worker,
        "awaited_since": formatting.when(state.awaited.since) if state.awaited and state.awaited.since else "",
        "finished": finished,
        "total": total,
        "duration": formatting.elapsed(state.run),
        "since": since(state.run),
        "created": formatting.moment(state.run.created_at),
    }


def _relaunches(state: RunState) -> dict[str, Any]:
    """Return the newest runs that were relaunched from this one: when, links to them, and what became of them.

    Once one has succeeded no button stands out: few people want to repeat that here.
    """
    found, has_more = relaunches.newest(state.run)
    shown = [
        (formatting.when(new.created_at), named_run(new.pk, state.links.site), formatting.badge(new.shown_status))
        for new in found
    ]
    is_repaired = any(new.status == RunStatus.SUCCESS for new in found)
    primary = "" if is_repaired else PRIMARY.get(state.run.shown_status, "")
    return {"relaunches": shown, "more_relaunches": has_more, "primary": primary}


def _questions(state: RunState, user: User) -> dict[str, Any]:
    """Return the oldest open approvals in the run and in the runs below it."""
    tasks = decisions.read_tasks(state.run, state.asked[:ASKED_SHOWN])
    return {
        "asked": list(filter(None, (decisions.describe_question(state.run, task, user) for task in tasks))),
        "more_asked": len(state.asked) > ASKED_SHOWN,
    }


def _waiting(state: RunState) -> dict[str, Any]:
    """Return what a pending run waits for, and the run before it, whose id the template adds to the text."""
    behind = state.waiting.behind if state.waiting else None
    text = turns.describe(state.waiting)
    return {"waiting": text.removesuffix(str(behind)), "behind": behind}
