"""What a workflow file says, as frozen values.

``as_json`` and ``from_json`` are the stored form of a ``WorkflowVersion``: stable over releases, without
places, so that moving a definition inside its file does not make a new version.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from .problems import Place

FORMAT = 1
NOWHERE = Place(path="")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStep:
    """One Celery task of a workflow."""

    id: str
    """Unique in the workflow: the task's full name, ``NAME-2`` when repeated, or an explicit id."""
    task: str
    """The registered name of the Celery task."""
    queue: str | None = None
    """The queue the file asks for; ``None`` leaves it to the task's own options and routes."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments given by ``with:``."""
    description: str = ""
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A group (members in parallel) or a chain (members in order)."""

    id: str
    kind: Literal["group", "chain"]
    members: tuple[Step, ...] = ()
    description: str = ""
    place: Place = field(default=NOWHERE, compare=False)


Step = TaskStep | Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One entry of ``periodic``."""

    kind: Literal["interval", "crontab"]
    value: str
    """Seconds of an interval, or "minute hour day_of_month month_of_year day_of_week"."""
    timezone: str | None = None
    """A zone's name; ``None`` means Celery's."""
    enabled: bool = True
    payload: Any = field(default_factory=dict)
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """A finished run goes beyond the last ``offset`` (-1: no limit) or when older than ``days``."""

    offset: int | None = None
    days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One workflow of a file."""

    name: str
    description: str = ""
    tasks: tuple[Step, ...] = ()
    hooks: dict[str, TaskStep] = field(default_factory=dict)
    """By outcome: ``success``, ``failure``."""
    schema: Any = None
    """A JSON Schema (a mapping or a boolean), or ``None``."""
    schedules: tuple[Schedule, ...] = ()
    retention: Retention | None = None
    source: str = field(default="", compare=False)
    """The text of this workflow in its file."""
    place: Place = field(default=NOWHERE, compare=False)

    def steps(self) -> Iterator[TaskStep]:
        """Every Celery task in the order of the file, without hooks."""
        return _task_steps(self.tasks)


def _task_steps(steps: tuple[Step, ...]) -> Iterator[TaskStep]:
    for step in steps:
        if isinstance(step, Container):
            yield from _task_steps(step.members)
        else:
            yield step


def as_json(definition: Definition) -> dict[str, Any]:
    """The stored form of what a run needs: steps, hooks and schema. Schedules and retention are not versioned."""
    return {
        "format": FORMAT,
        "name": definition.name,
        "description": definition.description,
        "tasks": [_step_as_json(step) for step in definition.tasks],
        "hooks": {outcome: _step_as_json(step) for outcome, step in definition.hooks.items()},
        "schema": definition.schema,
    }


def content_hash(definition: Definition) -> str:
    """SHA-256, in hexadecimal, of the stored form: the same for definitions that mean the same."""
    text = json.dumps(as_json(definition), sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def from_json(data: dict[str, Any]) -> Definition:
    """The inverse of ``as_json``. Raises ``ValueError`` for a format newer than this release knows."""
    if data["format"] > FORMAT:
        raise ValueError(f"stored definition has format {data['format']}, this release reads up to {FORMAT}")
    return Definition(
        name=data["name"],
        description=data["description"],
        tasks=tuple(_step_from_json(step) for step in data["tasks"]),
        hooks={outcome: _task_from_json(step) for outcome, step in data["hooks"].items()},
        schema=data["schema"],
    )


def _step_as_json(step: Step) -> dict[str, Any]:
    data: dict[str, Any] = {"id": step.id}
    if step.description:
        data["description"] = step.description
    if isinstance(step, Container):
        return data | {"type": step.kind, "tasks": [_step_as_json(member) for member in step.members]}
    if step.task != step.id:
        data["task"] = step.task
    if step.queue is not None:
        data["queue"] = step.queue
    if step.kwargs:
        data["with"] = step.kwargs
    return data


def _step_from_json(data: dict[str, Any]) -> Step:
    if "type" not in data:
        return _task_from_json(data)
    return Container(
        id=data["id"],
        kind=data["type"],
        members=tuple(_step_from_json(member) for member in data["tasks"]),
        description=data.get("description", ""),
    )


def _task_from_json(data: dict[str, Any]) -> TaskStep:
    return TaskStep(
        id=data["id"],
        task=data.get("task", data["id"]),
        queue=data.get("queue"),
        kwargs=data.get("with", {}),
        description=data.get("description", ""),
    )
