"""Readers of the options that many steps have: those of all kinds, and those of Celery tasks."""

from __future__ import annotations

import re
from typing import Any, Final

from django_director.definitions import trigger_rules
from django_director.definitions.definition import Retry
from django_director.definitions.source import codes, foreign_words
from django_director.definitions.source.nodes import ListNode, MappingNode, describe
from django_director.definitions.source.report import Report

from .drafts import Draft
from .expressions import read_expression, read_template
from .plain_values import (
    MAX_INT,
    number_of,
    read_duration,
    read_flag,
    read_names,
    read_text,
    read_whole,
    read_word,
)

COMMON_KEYS: Final = ("description", "needs", "when", "trigger_rule")
RUNNING_KEYS: Final = ("retry", "timeout", "queue", "priority")
"""The options that ``defaults`` of a workflow has too."""
TASK_KEYS: Final = ("task", "queue", "with", *COMMON_KEYS, "continue_on_error", "retry", "timeout", "priority")
RETRY_KEYS: Final = ("max", "delay", "backoff", "max_delay", "jitter", "only", "never")
MAX_PRIORITY: Final = 255
MAX_BACKOFF: Final = 1000

_EXCEPTION: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def read_common(draft: Draft, body: MappingNode, report: Report) -> None:
    """Read the options that steps of all kinds have."""
    draft.description = read_text(body, "description", report, is_long=True) or ""
    draft.needs = read_names(body, "needs", report, hint="write `needs: [ID]`")
    draft.uses = uses = list(draft.uses)
    draft.when = read_expression(body, "when", report, uses)
    draft.trigger_rule = (
        read_word(body, "trigger_rule", trigger_rules.RULES, report, trigger_rules.HINTS)
        or trigger_rules.NONE_FAILED
    )


def read_task_options(draft: Draft, body: MappingNode, report: Report) -> None:
    """Read the options that a Celery task has, or a map for the tasks in it."""
    draft.queue = read_text(body, "queue", report)
    draft.retry = read_retry(body, report)
    draft.timeout = read_duration(body, "timeout", report)
    draft.priority = read_priority(body, report)
    draft.continue_on_error = read_flag(body, "continue_on_error", report)
    draft.kwargs = _read_with(draft, body, report)


def read_list_of_steps(draft: Draft, body: MappingNode, report: Report) -> ListNode | None:
    """Return the list at `tasks`; report when there is none."""
    tasks = body.get("tasks")
    if isinstance(tasks, ListNode):
        return tasks
    what = "has no `tasks`" if tasks is None else f"has {describe(tasks)} as `tasks`"
    message = f"the {draft.kind} “{draft.name}” {what}"
    report.error(codes.TASKS, tasks or draft.node, message, "`tasks` is a list of steps")
    return None


def read_priority(body: MappingNode, report: Report) -> int | None:
    return read_whole(body, "priority", 0, MAX_PRIORITY, report)


def _read_with(draft: Draft, body: MappingNode, report: Report) -> dict[str, Any]:
    node = body.get("with")
    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        message = f"`with` must be a mapping of arguments, and is {describe(node)}"
        report.error(codes.VALUE, node, message, "write `with: {name: value}`")
        return {}
    draft.uses = uses = list(draft.uses)
    return dict(read_template(node, "with", report, uses))


def read_retry(body: MappingNode, report: Report) -> Retry | None:
    """Read `retry:`, a number or a mapping; return ``None`` when it is missing, null, or wrong and reported."""
    node = body.get("retry")
    if node is None:
        return None
    if isinstance(node, MappingNode):
        return _read_retry(
            report.check_keys(node, "in `retry`", RETRY_KEYS, foreign=foreign_words.OF_RETRY), report
        )
    if isinstance(node, ListNode) or number_of(node) is None:
        message = f"`retry` must be a number or a mapping, and is {describe(node)}"
        report.error(codes.VALUE, node, message, "write `retry: 3` or `retry: {max: 3, delay: 10s}`")
        return None
    attempts = read_whole(body, "retry", 0, MAX_INT, report)
    return None if attempts is None else Retry(max=attempts, place=report.place(node))


def _read_retry(node: MappingNode, report: Report) -> Retry | None:
    if node.get("max") is None:
        message = "`retry` needs `max`, the number of further attempts"
        report.error(codes.VALUE, node, message, "write `retry: {max: 3}`")
    attempts = read_whole(node, "max", 0, MAX_INT, report)
    if attempts is None:
        # What else is wrong is told in the same go.
        attempts = 0
    values: dict[str, Any] = {
        "delay": read_duration(node, "delay", report, lowest=0),
        "backoff": _read_backoff(node, report),
        "max_delay": read_duration(node, "max_delay", report, lowest=0),
        "jitter": read_flag(node, "jitter", report),
        "only": _read_exceptions(node, "only", report),
        "never": _read_exceptions(node, "never", report),
    }
    given = {key: value for key, value in values.items() if value is not None}
    return Retry(max=attempts, place=report.place(node), **given)


def _read_backoff(node: MappingNode, report: Report) -> int | float | None:
    given = node.get("backoff")
    if given is None:
        return None
    value = number_of(given)
    if value is not None and 1 <= value <= MAX_BACKOFF:
        return value
    message = f"`backoff` must be a number from 1 to {MAX_BACKOFF:,}, and is {describe(given)}"
    report.error(codes.VALUE, given, message, "write `backoff: 2` for delays that double")
    return None


def _read_exceptions(node: MappingNode, key: str, report: Report) -> tuple[str, ...] | None:
    names = read_names(node, key, report, hint=_CLASSES)
    for name, place in names or ():
        if not _EXCEPTION.fullmatch(name):
            report.error(codes.VALUE, place, f"`{key}`: “{name[:80]}” is no name of a class", _CLASSES)
    return None if names is None else tuple(name for name, _ in names)


_CLASSES: Final = "write class names: `[requests.Timeout, ValueError]`"
