"""The stored form of a definition, which a ``WorkflowVersion`` keeps.

It is stable over releases: what a file does not say is not stored, so a definition that uses nothing new keeps its
stored form and its hash. It has no places: moving a definition inside its file does not make a new version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from .definition import Concurrency, Definition, Step, TaskStep
from .kinds import KINDS
from .stored_values import Json, changed_fields, keep_order, restore_order, without_none
from .trigger_rules import NONE_FAILED

FORMAT: Final = 1


def as_json(definition: Definition) -> Json:
    """Return the stored form: what a run needs. Schedules and retention are not versioned."""
    data: Json = {
        "format": FORMAT,
        "name": definition.name,
        "description": definition.description,
        "tasks": [_step_as_json(step) for step in definition.tasks],
        "hooks": {outcome: _hooks_as_json(steps) for outcome, steps in definition.hooks.items()},
        "schema": keep_order(definition.schema),
    }
    concurrency = definition.concurrency
    return data | without_none(
        timeout=definition.timeout,
        fail_fast=definition.fail_fast or None,
        concurrency=None if concurrency is None else changed_fields(concurrency, Concurrency()),
        result=definition.result,
        allowed_groups=list(definition.allowed_groups) or None,
    )


def content_hash(definition: Definition) -> str:
    """Return the SHA-256 of the stored form in hexadecimal: definitions that mean the same share it."""
    text = json.dumps(as_json(definition), sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def from_json(data: Mapping[str, Any]) -> Definition:
    """Return the definition of a stored form. Raises ``ValueError`` for a format of a later release."""
    if data["format"] > FORMAT:
        raise ValueError(f"stored definition has format {data['format']}, this release reads up to {FORMAT}")
    return Definition(
        name=data["name"],
        description=data["description"],
        tasks=tuple(map(_step_from_json, data["tasks"])),
        hooks={outcome: _hooks_from_json(steps) for outcome, steps in data["hooks"].items()},
        schema=restore_order(data["schema"]),
        timeout=data.get("timeout"),
        fail_fast=data.get("fail_fast", False),
        concurrency=Concurrency(**data["concurrency"]) if "concurrency" in data else None,
        result=data.get("result"),
        allowed_groups=tuple(data.get("allowed_groups", ())),
    )


def _step_as_json(step: Step) -> Json:
    data = without_none(
        id=step.id,
        description=step.description or None,
        needs=None if step.needs is None else list(step.needs),
        when=step.when,
        trigger_rule=step.trigger_rule if step.trigger_rule != NONE_FAILED else None,
        queue=step.queue,
    )
    # A step without a type is a Celery task: those were there first.
    type_ = {} if step.kind == TaskStep.kind else {"type": step.kind}
    return data | type_ | KINDS[step.kind].to_json(step, _step_as_json)


def _step_from_json(data: Json) -> Any:
    common = {
        "id": data["id"],
        "needs": tuple(data["needs"]) if "needs" in data else None,
        "when": data.get("when"),
        "trigger_rule": data.get("trigger_rule", NONE_FAILED),
        "description": data.get("description", ""),
        "queue": data.get("queue"),
    }
    return KINDS[data.get("type", TaskStep.kind)].from_json(data, common, _step_from_json)


def _hooks_as_json(steps: tuple[TaskStep, ...]) -> Json | list[Json]:
    made = [_step_as_json(step) for step in steps]
    return made[0] if len(made) == 1 else made


def _hooks_from_json(data: Json | list[Json]) -> tuple[TaskStep, ...]:
    return tuple(map(_step_from_json, data if isinstance(data, list) else [data]))
