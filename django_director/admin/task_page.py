"""The page of a task: what it does or why it failed, its attempts, neighbours and values; of a map its items."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_director.access.authorization import is_allowed
from django_director.definitions import WorkflowStep
from django_director.drawing.faces import status_of_map
from django_director.graph import OWN_TASK, Node
from django_director.models import Task
from django_director.models.querysets import HEAVY_TASK_FIELDS
from django_director.presentation import hook_names, served_queues, silent_workers, visible_errors
from django_director.presentation.map_items import MapItems
from django_director.status import TaskStatus

from . import (
    arguments,
    formatting,
    map_page,
    reasons,
    shown_items,
    task_attempts,
    task_downloads,
    task_headline,
    task_lines,
    task_neighbours,
)
from .task_rows import since

POLL: Final = 2
"""Seconds between two live updates of the page."""
POLL_LARGE: Final = 10
LARGE: Final = 5_000
"""A map with more items than this gets live updates less often: each of them counts all items."""


def context(request: HttpRequest, task: Task, site: str, *, sees_payload: bool) -> dict[str, Any]:
    """Return what the template needs; the number of queries does not depend on the task."""
    node = task.run.version.graph.node(task.position)
    if sees_payload and task.map_count is None:
        # They are large, so no list reads them. Here one query does in place of three.
        task.refresh_from_db(fields=HEAVY_TASK_FIELDS)
    items = MapItems(task, node) if task.map_count is not None and node.body else None
    asked = request.GET.get(task_attempts.PARAMETER, "")
    attempt = task_attempts.context(task, asked, sees_payload=sees_payload)
    chosen = attempt.get("chosen")
    if items and attempt and not attempt["traceback"].text:
        # The sentence tells all that there is to tell of an attempt of a map, and so do its items.
        attempt = {}
    return {
        "title": formatting.name(task.label),
        "subtitle": _("Task of %(workflow)s") % {"workflow": formatting.name(task.run.workflow.name)},
        "task": task,
        "hook": hook_names.of_task(task),
        "run_badge": formatting.badge(task.run.shown_status),
        **_head(task, items, sees_payload=sees_payload),
        "sees_system": is_allowed(request.user, "view_run"),
        "facts": _facts(task, node, sees_payload=sees_payload, is_alone=len(attempt.get("tabs", ())) < 2),
        "description": node.step.description,
        "attempt": attempt,
        "unbegun_error": "" if attempt or items else visible_errors.of_task(task.error, sees_payload=sees_payload),
        "is_run_by_worker": node.kind == "task",
        **task_neighbours.context(task, node, site),
        "map": map_page.context(task, items, request.GET, site, sees_payload=sees_payload) if items else None,
        "sees_payload": sees_payload,
        "masked_note": formatting.masked_note(),
        "downloads": task_downloads.addresses(task, site, "" if chosen is None else chosen.key),
        **(_values(task, node) if sees_payload else {}),
    }


def _head(task: Task, items: MapItems | None, *, sees_payload: bool) -> dict[str, Any]:
    """Return the sentence with its time, and how far the task is."""
    progress = visible_errors.progress(task.progress, sees_payload=sees_payload)
    silent_since, unserved = silent_workers.last_sign(task), served_queues.unserved_of_task(task)
    moment = silent_since or task_headline.moment_of(task)
    tell = partial(task_headline.of_task, is_silent=silent_since is not None, unserved=unserved)
    status = status_of_map(task.status, items.counts) if items else task.status
    return {
        "badge": task_lines.badge(task) if status == task.status else formatting.badge(status),
        "shown_status": status,
        "headline": tell(task, items.tally if items else None, sees_payload=sees_payload),
        "lacks_worker": bool(silent_since or unserved),
        "is_silent": silent_since is not None,
        "moment": formatting.when(moment) if moment else "",
        # Without a time in the sentence the zone stands at the end of the page.
        "zone": formatting.zone() if moment else "",
        "since": since(task) if task.status == TaskStatus.RUNNING and not silent_since else "",
        "duration": formatting.elapsed(task),
        "progress": _progress(progress) if progress and not task.is_finished else None,
        "poll": POLL_LARGE if (task.map_count or 0) > LARGE else POLL,
        "is_live": not (task.is_finished and task.run.is_finished),
    }


def _progress(value: dict[str, Any]) -> dict[str, Any]:
    done, total = value.get("done"), value.get("total")
    numbers = {"done": _number(done), "total": _number(total)}
    return {
        "done": done,
        "total": total,
        "text": _("%(done)s of %(total)s") % numbers if total else numbers["done"],
        "message": value.get("message") or "",
    }


def _number(value: object) -> str:
    return formatting.number(value) if isinstance(value, int | float) else ""


def _facts(task: Task, node: Node, *, sees_payload: bool, is_alone: bool) -> list[tuple[str, Any]]:
    """Return facts with their names; of several attempts each tells its times itself."""
    reason = reasons.translate(visible_errors.reason(task.reason, sees_payload=sees_payload))
    facts = [
        (_("Kind"), formatting.kind_label(node.kind) if node.name == OWN_TASK else ""),
        (_("Celery task"), formatting.name(task.name) if node.name != OWN_TASK else ""),
        (_("Workflow"), formatting.name(node.step.workflow) if isinstance(node.step, WorkflowStep) else ""),
        (_("Attempts"), task_headline.attempts_of(task, task.attempt) if task.attempt and is_alone else ""),
        (_("Queue"), formatting.name(served_queues.Names().of(task))),
        (_("Queued"), formatting.moment(task.queued_at)),
        (_("Started"), formatting.moment(task.started_at) if is_alone else ""),
        (_("Finished"), formatting.moment(task.finished_at)),
        (_("Duration"), formatting.seconds(task.duration) if is_alone else ""),
        (_("Lost workers"), task.crashes or ""),
        (_("Waits until"), formatting.moment(task.deadline_at) if _is_timer(task, node) else ""),
        (_("Waits"), _explain_wait(task)),
        (_("Reason"), reason if node.kind != "approval" or task.decision is None else ""),
    ]
    return [(label, value) for label, value in facts if value not in ("", formatting.NOTHING)]


def _explain_wait(task: Task) -> str:
    """Return why no worker takes a queued task, if the sentence at the top does not tell."""
    if task.status != TaskStatus.QUEUED or task.unsendable_since is not None or task.run.paused_at is None:
        return ""
    return _("held back while the run is paused")


def _is_timer(task: Task, node: Node) -> bool:
    return task.status == TaskStatus.WAITING and node.kind == "wait" and task.deadline_at is not None


def _values(task: Task, node: Node) -> dict[str, Any]:
    result = _result(task) if task.status == TaskStatus.SUCCESS else None
    if task.map_count is not None:
        # The payload may have all the items in it, and no argument of the map's is shown.
        return {"result": result}
    call = arguments.of_task(task, node)
    given = node.step.payload if isinstance(node.step, WorkflowStep) else node.kwargs
    return {
        "payload": formatting.json_text(task.run.payload, task.run.version.graph.definition.schema),
        "call": call,
        "arguments": formatting.json_text(given) if given and call is None else None,
        "is_child": isinstance(node.step, WorkflowStep),
        "item": None if node.map_position is None else formatting.json_text(shown_items.of_task(task, node)),
        "result": result,
    }


def _result(task: Task) -> formatting.Text:
    if task_downloads.has_too_many_results(task):
        text = _("The result is the list of the results of %(items)s items: see their tasks.")
        return formatting.Text("", text % {"items": formatting.number(task.map_count or 0)})
    value, error = task.read_result()
    return formatting.Text("", error) if error else formatting.json_text(value)
