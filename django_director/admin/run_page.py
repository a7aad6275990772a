"""The page of a run: its head, its picture, its tasks, its payload and its result."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_director.drawing.icons import icon
from django_director.drawing.svg import render
from django_director.graph import expand
from django_director.models import Run
from django_director.models.users import User
from django_director.presentation.serializers import shown_key
from django_director.status import RunStatus, TaskStatus

from . import decisions, events, failure_card, formatting, merged_log, operations, timeline
from .bars import draw_segments
from .run_state import ASKED_SHOWN, RunState, since

PRIMARY: Final = {RunStatus.FAILED: "retry", RunStatus.CANCELED: "retry", "paused": "resume"}
"""By the shown status of a run: the operation that most people want then."""
TABS: Final = {
    "steps": gettext_lazy("Steps"),
    "timeline": gettext_lazy("Timeline"),
    "log": gettext_lazy("Log"),
    "events": gettext_lazy("Events"),
}
"""The tabs of the page, by their names in its address."""
RESULT_PARTS: Final = 200
"""A result that is made of the results of more tasks is not read for a page."""


def context(
    request: HttpRequest, run: Run, permitted: list[str], site: str, *, sees_payload: bool, sees_tasks: bool
) -> dict[str, Any]:
    """Return what the template needs; the number of queries does not depend on the run."""
    asked_for = {"page": request.GET.get("page"), "status": request.GET.get("status")}
    state = RunState(run, site, sees_payload=sees_payload, sees_tasks=sees_tasks, **asked_for)
    return {
        "title": formatting.name(run.workflow.name),
        "subtitle": _("Run %(id)s") % {"id": run.pk},
        "run": run,
        "state": state,
        "parent": run.parent_task,
        "buttons": [
            (operation, not operation.is_possible(run))
            for name, operation in operations.OF_RUNS.items()
            if name in permitted
        ],
        "sees_payload": sees_payload,
        "masked_note": formatting.masked_note(),
        "concurrency_key": shown_key(run) if sees_payload else None,
        **_head(state),
        "primary": PRIMARY.get(run.shown_status, ""),
        **_waiting(state),
        **_questions(state, request.user),
        **_tabs(request, state),
    }


def _tabs(request: HttpRequest, state: RunState) -> dict[str, Any]:
    """Return the links of the tabs, and what the chosen one shows."""
    tab = request.GET.get("tab", "")
    labels = TABS if state.sees_tasks else {name: TABS[name] for name in ("steps", "events")}
    tab = tab if tab in labels else "steps"
    return {
        "tab": tab,
        "tab_template": f"admin/django_director/_{tab}.html",
        "tabs": [(name, label, f"?tab={name}" if name != "steps" else "?") for name, label in labels.items()],
        **_tab(request, state, tab),
    }


def _tab(request: HttpRequest, state: RunState, tab: str) -> dict[str, Any]:
    run = state.run
    match tab:
        case "timeline":
            return timeline.context(run, state.links.to_task)
        case "log":
            return merged_log.context(run, request) if state.sees_payload else {}
        case "events":
            return events.context(run, sees_payload=state.sees_payload, sees_tasks=state.sees_tasks)
    return {
        "graph": graph(state) if state.sees_tasks else "",
        "failure": _failure(state, request.user),
        **_table(state, sees_tasks=state.sees_tasks),
        **(_values(run) if state.sees_payload else {}),
    }


def _failure(state: RunState, user: User) -> dict[str, Any]:
    stopped = state.counts[TaskStatus.UPSTREAM_FAILED]
    return failure_card.context(state.run, user, sees_payload=state.sees_payload, stopped=stopped)


def _head(state: RunState) -> dict[str, Any]:
    """Return the status, the progress and the times of a run."""
    finished, total = state.progress
    return {
        "segments": draw_segments(state.counts),
        "ended": formatting.when(state.run.finished_at) if state.run.finished_at else "",
        "zone": formatting.zone(),
        "badge": formatting.badge(state.run.shown_status),
        "finished": finished,
        "total": total,
        "duration": formatting.elapsed(state.run),
        "since": since(state.run),
        "created": formatting.moment(state.run.created_at),
    }


def _questions(state: RunState, user: User) -> dict[str, Any]:
    """Return the oldest open approvals in the run and in the runs below it."""
    tasks = decisions.read_tasks(state.run, state.asked[:ASKED_SHOWN])
    return {
        "asked": list(filter(None, (decisions.describe_question(state.run, task, user) for task in tasks))),
        "asked_ids": " ".join(map(str, state.asked)),
        "more_asked": len(state.asked) > ASKED_SHOWN,
    }


def _table(state: RunState, *, sees_tasks: bool) -> dict[str, Any]:
    """Return one page of the tasks, with the filters and links that lead to others."""
    chosen = {"status": state.status} if state.status else {}
    return {
        "filters": [(status, label, number, icon(status)) for status, label, number in state.filters],
        "rows": [(row, formatting.badge(row.status)) for row in state.rows] if sees_tasks else [],
        "live_query": urlencode({"page": state.page, **chosen}),
        "previous_page": _page_link(state.page - 1, state.pages, chosen),
        "next_page": _page_link(state.page + 1, state.pages, chosen),
    }


def graph(state: RunState) -> SafeString:
    """Return the picture of a run, in which each box is a link."""
    run = state.run
    finished, total = state.progress
    return render(
        state.picture,
        state.faces,
        title=_("Tasks of %(workflow)s") % {"workflow": formatting.name(run.workflow.name)},
        summary=_("%(finished)s of %(total)s tasks are finished; the table below says the same in words.")
        % {"finished": finished, "total": total},
        link=state.links.of_box,
    )


def _waiting(state: RunState) -> dict[str, Any]:
    """Return what a pending run waits for, and the run before it, whose id the template adds to the text."""
    behind = state.waiting.behind if state.waiting else None
    text = str(state.waiting or "")
    return {"waiting": text.removesuffix(str(behind)), "behind": behind}


def _page_link(page: int, pages: int, chosen: dict[str, str]) -> str | None:
    return f"?{urlencode({'page': page, **chosen})}#tasks" if 1 <= page <= pages else None


def _values(run: Run) -> dict[str, Any]:
    return {
        "payload": formatting.json_text(run.payload, run.version.graph.definition.schema),
        "result": _result(run),
    }


def _result(run: Run) -> formatting.Text:
    if run.status != RunStatus.SUCCESS:
        return formatting.Text("", "")
    graph = run.version.graph
    spans = graph.result.spans()
    parts = sum(stop - start for start, stop in spans)
    if made := graph.last_in(expand(spans)):
        parts += run.tasks.at_items(made).count()
    if parts > RESULT_PARTS:
        text = _("The result is the list of the results of %(parts)s tasks: see the tasks.")
        return formatting.Text("", text % {"parts": f"{parts:,}"})
    value, error = run.read_result()
    return formatting.Text("", error) if error else formatting.json_text(value)
