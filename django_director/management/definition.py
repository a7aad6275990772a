"""A workflow's definition for people: its limits, and its steps with all that holds for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django_director.definitions.model import (
    HOOK_PREFIX,
    ON_TIMEOUT,
    ApprovalStep,
    Concurrency,
    Container,
    Definition,
    MapStep,
    Retry,
    Seconds,
    Step,
    TaskStep,
    WaitStep,
    WorkflowStep,
    hook_label,
)
from django_director.definitions.trigger_rules import NONE_FAILED
from django_director.masking.values import mask
from django_director.models import Workflow

Pair = tuple[str, str | None]

VALUE_SHOWN: Final = 200
"""How many characters of a value, an expression or a prompt."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))


def limits(workflow: Workflow, definition: Definition) -> Iterator[Pair]:
    """What holds for whole runs, in a fixed order; ``None`` for what the file does not set."""
    yield "timeout", _span(definition.timeout)
    yield "concurrency", _concurrency(definition.concurrency) if definition.concurrency else None
    yield "fail_fast", "true" if definition.fail_fast else None
    yield "result", _value(definition.result)
    yield "allowed_groups", ", ".join(workflow.allowed_groups) or None
    yield "retention", _retention(workflow)


def tree(steps: Iterable[Step], indent: str = "") -> Iterator[str]:
    """The steps as indented lines, what holds for each below it, then its members."""
    for step in steps:
        notes = _notes(step)
        yield f"{indent}{_label(step)}" + (f"  [{', '.join(notes)}]" if notes else "")
        for name, value in _details(step):
            if value is not None:
                yield f"{indent}    {name}: {value}"
        yield from tree(_members(step), indent + "  ")


def _label(step: Step) -> str:
    return hook_label(step.id) if step.id.startswith(HOOK_PREFIX) else step.id


def _members(step: Step) -> tuple[Step, ...]:
    if isinstance(step, Container):
        return step.members
    return step.body if isinstance(step, MapStep) else ()


def _notes(step: Step) -> list[str]:
    notes: list[str] = [step.kind] if step.kind not in ("task", "workflow") else []
    if isinstance(step, TaskStep) and step.task != _label(step):
        notes.append(f"task {step.task}")
    if isinstance(step, WorkflowStep):
        notes.append(f"workflow {step.workflow}")
    return [*notes, f"queue {step.queue}"] if step.queue else notes


def _details(step: Step) -> Iterator[Pair]:
    yield "description", _text(step.description)
    yield "needs", None if step.needs is None else ", ".join(step.needs) or "nothing"
    yield "when", _value(step.when)
    yield "trigger_rule", None if step.trigger_rule == NONE_FAILED else step.trigger_rule
    if isinstance(step, TaskStep):
        yield from _of_task(step)
    elif isinstance(step, MapStep):
        yield "over", _value(step.over)
        yield "max_parallel", None if step.max_parallel is None else str(step.max_parallel)
    elif isinstance(step, WorkflowStep):
        yield "payload", _value(step.payload) if step.payload else None
        yield "timeout", _span(step.timeout)
    elif isinstance(step, ApprovalStep):
        yield from _of_approval(step)
    elif isinstance(step, WaitStep):
        yield "for", step.seconds if isinstance(step.seconds, str) else _span(step.seconds)
        yield "until", _value(step.until)


def _of_task(step: TaskStep) -> Iterator[Pair]:
    yield "with", _value(step.kwargs) if step.kwargs else None
    yield "retry", _retry(step.retry) if step.retry else None
    yield "timeout", _span(step.timeout)
    yield "priority", None if step.priority is None else str(step.priority)
    yield "continue_on_error", "true" if step.continue_on_error else None


def _of_approval(step: ApprovalStep) -> Iterator[Pair]:
    yield "prompt", _text(step.prompt)
    yield "permission", step.permission
    yield "timeout", _span(step.timeout)
    is_told = step.timeout is not None or step.on_timeout != ON_TIMEOUT[0]
    yield "on_timeout", step.on_timeout if is_told else None


def _retry(retry: Retry) -> str:
    parts = [f"max {retry.max}"]
    if retry.max:
        parts.append(f"delay {_span(retry.delay)}")
        if retry.backoff != 1:
            parts += [f"backoff {retry.backoff:g}", f"max_delay {_span(retry.max_delay)}"]
        parts += ["jitter"] if retry.jitter else []
    parts += [f"only {', '.join(retry.only)}"] if retry.only else []
    parts += [f"never {', '.join(retry.never)}"] if retry.never else []
    return ", ".join(parts)


def _concurrency(concurrency: Concurrency) -> str:
    key = "" if concurrency.key is None else f", key {_value(concurrency.key)}"
    return f"limit {concurrency.limit}{key}, on_conflict {concurrency.on_conflict}"


def _retention(workflow: Workflow) -> str | None:
    offset, days = workflow.retention_offset, workflow.retention_days
    parts = [] if offset is None else [f"offset {offset}"]
    return ", ".join([*parts, *([] if days is None else [f"days {days}"])]) or None


def _span(seconds: Seconds | None) -> str | None:
    """As a file may say it: ``10s``, ``5m``, ``2d``."""
    if seconds is None:
        return None
    for size, unit in _UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds // size:g}{unit}"
    return f"{seconds:g}s"


def _value(value: Any) -> str | None:
    """An expression as it stands, another value as JSON, secrets masked."""
    if value is None:
        return None
    shown = mask(value)
    return _text(shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False, default=str))


def _text(text: str) -> str | None:
    return (text if len(text) <= VALUE_SHOWN else text[: VALUE_SHOWN - 1] + "…") or None
