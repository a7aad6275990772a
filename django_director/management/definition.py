"""Describes the definition of a workflow for people: its limits, and its steps with their settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django_director.definitions import (
    HOOK_PREFIX,
    KINDS,
    NONE_FAILED,
    Concurrency,
    Definition,
    Step,
    hook_label,
    shortened,
    shown_span,
    shown_value,
)
from django_director.models import Workflow

Pair = tuple[str, str | None]


def limit_fields(workflow: Workflow, definition: Definition) -> Iterator[Pair]:
    """Yield the names and values of the settings for whole runs; ``None`` if the file does not have them."""
    yield "timeout", shown_span(definition.timeout)
    yield "concurrency", _concurrency(definition.concurrency) if definition.concurrency else None
    yield "fail_fast", "true" if definition.fail_fast else None
    yield "result", shown_value(definition.result)
    yield "allowed_groups", ", ".join(workflow.allowed_groups) or None
    yield "retention", _retention(workflow)


def step_lines(steps: Iterable[Step], indent: str = "") -> Iterator[str]:
    """Yield indented lines for the steps: below each step its settings, and then the steps inside it."""
    for step in steps:
        notes = _notes(step)
        yield f"{indent}{_label(step)}" + (f"  [{', '.join(notes)}]" if notes else "")
        for name, value in _details(step):
            if value is not None:
                yield f"{indent}    {name}: {value}"
        yield from step_lines((*step.members, *step.body), indent + "  ")


def _label(step: Step) -> str:
    return hook_label(step.id) if step.id.startswith(HOOK_PREFIX) else step.id


def _notes(step: Step) -> list[str]:
    notes = (KINDS[step.kind].mark(step, _label(step)), f"queue {step.queue}" if step.queue else "")
    return [note for note in notes if note]


def _details(step: Step) -> Iterator[Pair]:
    yield "description", shortened(step.description)
    yield "needs", None if step.needs is None else ", ".join(step.needs) or "nothing"
    yield "when", shown_value(step.when)
    yield "trigger_rule", None if step.trigger_rule == NONE_FAILED else step.trigger_rule
    yield from KINDS[step.kind].describe(step)


def _concurrency(concurrency: Concurrency) -> str:
    key = "" if concurrency.key is None else f", key {shown_value(concurrency.key)}"
    return f"limit {concurrency.limit}{key}, on_conflict {concurrency.on_conflict}"


def _retention(workflow: Workflow) -> str | None:
    offset, days = workflow.retention_offset, workflow.retention_days
    parts = [] if offset is None else [f"offset {offset}"]
    return ", ".join([*parts, *([] if days is None else [f"days {days}"])]) or None
