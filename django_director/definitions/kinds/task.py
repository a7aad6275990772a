"""`task:`, or a name alone: one Celery task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from django_director.definitions.definition import Retry, Step, TaskStep
from django_director.definitions.fields.drafts import Draft, ReadSteps
from django_director.definitions.fields.options import TASK_KEYS, read_task_options
from django_director.definitions.fields.plain_values import LEAST_BATCH, MOST_BATCH, read_text
from django_director.definitions.source import codes
from django_director.definitions.source.nodes import MappingNode, describe, text_of
from django_director.definitions.source.report import Report
from django_director.definitions.stored_values import Json, changed_fields, keep_order, restore_order, without_none
from django_director.definitions.wording import shown_span, shown_value

from .kind import Facts, Kind

OWN_SCHEMA: Final = {
    "retry": {"$ref": "#/definitions/retry"},
    "timeout": {"$ref": "#/definitions/duration"},
    "queue": {"$ref": "#/definitions/name"},
    "priority": {"type": "integer", "minimum": 0, "maximum": 255},
    "task": {
        "allOf": [{"$ref": "#/definitions/name"}],
        "description": "The Celery task, when the step has an id of its own.",
    },
    "with": {"type": "object", "description": "Keyword arguments; strings may hold ${{ expressions }}."},
    "continue_on_error": {"type": "boolean"},
}
"""What the options of a task may be; a map has them too, for the tasks in it."""
BATCH_SCHEMA: Final = {
    "type": "integer",
    "minimum": LEAST_BATCH,
    "maximum": MOST_BATCH,
    "description": "So many run one after the other for one message.",
}


class Task(Kind[TaskStep]):
    """Reads a Celery task with its options."""

    name = "task"
    step = TaskStep
    keys = TASK_KEYS
    marker = "task"
    title = "step"
    schema: ClassVar = {"properties": OWN_SCHEMA}

    def read(self, draft: Draft, body: MappingNode, report: Report, read_steps: ReadSteps) -> None:
        draft.explicit = "task" in body.entries
        if draft.explicit:
            draft.task = _read_task(body, report) or ""
        read_task_options(draft, body, report)

    def freeze(self, draft: Draft, common: Json, freeze: Callable[[Draft], Any]) -> TaskStep:
        return TaskStep(
            **common,
            task=draft.task,
            kwargs=draft.kwargs,
            retry=draft.retry,
            timeout=draft.timeout,
            priority=draft.priority,
            continue_on_error=draft.continue_on_error or False,
        )

    def to_json(self, step: TaskStep, store: Callable[[Step], Json]) -> Json:
        return without_none(
            task=step.task if step.task != step.id else None,
            retry=None if step.retry is None else _retry_as_json(step.retry),
            timeout=step.timeout,
            priority=step.priority,
            continue_on_error=step.continue_on_error or None,
            **{"with": keep_order(step.kwargs) if step.kwargs else None},
        )

    def from_json(self, data: Json, common: Json, load: Callable[[Json], Any]) -> TaskStep:
        return TaskStep(
            **common,
            task=data["task"] if "task" in data else data["id"],
            kwargs=restore_order(data.get("with", {})),
            retry=_retry_from_json(data["retry"]) if "retry" in data else None,
            timeout=data.get("timeout"),
            priority=data.get("priority"),
            continue_on_error=data.get("continue_on_error", False),
        )

    def describe(self, step: TaskStep) -> Facts:
        yield "with", shown_value(step.kwargs) if step.kwargs else None
        yield "retry", _shown_retry(step.retry) if step.retry else None
        yield "timeout", shown_span(step.timeout)
        yield "priority", None if step.priority is None else str(step.priority)
        yield "continue_on_error", "true" if step.continue_on_error else None

    def mark(self, step: TaskStep, label: str) -> str:
        return "" if step.task == label else f"task {step.task}"


def _read_task(body: MappingNode, report: Report) -> str | None:
    node = body.entries["task"].value
    if text_of(node):
        return read_text(body, "task", report)
    shown = "empty" if text_of(node) == "" else describe(node)
    message = f"`task` must be a task's name, and is {shown}"
    report.error(codes.VALUE, node, message, "write `task: NAME`, or take it out")
    return None


def _retry_as_json(retry: Retry) -> Json:
    return {"max": retry.max, **changed_fields(retry, Retry(max=retry.max))}


def _retry_from_json(data: Json) -> Retry:
    names: Json = {key: tuple(data[key]) for key in ("only", "never") if key in data}
    return Retry(**data | names)


def _shown_retry(retry: Retry) -> str:
    parts = [f"max {retry.max}"]
    if retry.max:
        parts.append(f"delay {shown_span(retry.delay)}")
        if retry.backoff != 1:
            parts += [f"backoff {retry.backoff:g}", f"max_delay {shown_span(retry.max_delay)}"]
        parts += ["jitter"] if retry.jitter else []
    parts += [f"only {', '.join(retry.only)}"] if retry.only else []
    parts += [f"never {', '.join(retry.never)}"] if retry.never else []
    return ", ".join(parts)
