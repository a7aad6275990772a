"""The stored form of a definition, which a ``WorkflowVersion`` keeps.

Stable over releases: what is not said is not there, so a definition that uses nothing new has the form, and the
hash, that it always had. It is without places: moving a definition inside its file does not make a new version.
Databases sort the keys of JSON, so mappings whose order people see (schemas, ``with``) are kept as text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from hashlib import sha256
from typing import Any, Final

from .model import (
    ApprovalStep,
    Concurrency,
    Container,
    Definition,
    MapStep,
    Retry,
    Step,
    TaskStep,
    WaitStep,
    WorkflowStep,
)
from .trigger_rules import NONE_FAILED

FORMAT: Final = 1
_ORDERED: Final = "$ordered"
"""The only key of a value that is kept as text."""

Json = dict[str, Any]


def as_json(definition: Definition) -> Json:
    """What a run needs. Schedules and retention are not versioned."""
    data: Json = {
        "format": FORMAT,
        "name": definition.name,
        "description": definition.description,
        "tasks": [_step_as_json(step) for step in definition.tasks],
        "hooks": {outcome: _hooks_as_json(steps) for outcome, steps in definition.hooks.items()},
        "schema": _in_order(definition.schema),
    }
    concurrency = definition.concurrency
    return data | _said(
        timeout=definition.timeout,
        fail_fast=definition.fail_fast or None,
        concurrency=None if concurrency is None else _changed(concurrency, Concurrency()),
        result=definition.result,
        allowed_groups=list(definition.allowed_groups) or None,
    )


def content_hash(definition: Definition) -> str:
    """SHA-256, in hexadecimal, of the stored form: the same for definitions that mean the same."""
    text = json.dumps(as_json(definition), sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def from_json(data: Mapping[str, Any]) -> Definition:
    """The inverse of ``as_json``. Raises ``ValueError`` for a format newer than this release knows."""
    if data["format"] > FORMAT:
        raise ValueError(f"stored definition has format {data['format']}, this release reads up to {FORMAT}")
    return Definition(
        name=data["name"],
        description=data["description"],
        tasks=tuple(_step_from_json(step) for step in data["tasks"]),
        hooks={outcome: _hooks_from_json(steps) for outcome, steps in data["hooks"].items()},
        schema=_as_written(data["schema"]),
        timeout=data.get("timeout"),
        fail_fast=data.get("fail_fast", False),
        concurrency=Concurrency(**data["concurrency"]) if "concurrency" in data else None,
        result=data.get("result"),
        allowed_groups=tuple(data.get("allowed_groups", ())),
    )


def _in_order(value: Any) -> Any:
    """A value as text where a mapping in it has an order to be kept."""
    text = json.dumps(value, separators=(",", ":"))
    return {_ORDERED: text} if _has_order(value) or _ORDERED in text else value


def _has_order(value: Any) -> bool:
    if isinstance(value, dict):
        return len(value) > 1 or any(map(_has_order, value.values()))
    return isinstance(value, list) and any(map(_has_order, value))


def _as_written(value: Any) -> Any:
    """The inverse of ``_in_order``."""
    is_text = isinstance(value, dict) and value.keys() == {_ORDERED}
    return json.loads(value[_ORDERED]) if is_text else value


def _said(**values: Any) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def _changed(value: Any, usual: Any) -> Json:
    """The fields of a dataclass that are not as ``usual``."""
    pairs = ((part.name, getattr(value, part.name)) for part in fields(value) if part.compare)
    changed = {name: own for name, own in pairs if own != getattr(usual, name)}
    return {name: list(own) if isinstance(own, tuple) else own for name, own in changed.items()}


def _step_as_json(step: Step) -> Json:
    data = _said(
        id=step.id,
        description=step.description or None,
        needs=None if step.needs is None else list(step.needs),
        when=step.when,
        trigger_rule=step.trigger_rule if step.trigger_rule != NONE_FAILED else None,
        queue=step.queue,
    )
    if isinstance(step, TaskStep):
        return data | _task_as_json(step)
    return data | {"type": step.kind} | _own_as_json(step)


def _task_as_json(step: TaskStep) -> Json:
    return _said(
        task=step.task if step.task != step.id else None,
        retry=None if step.retry is None else _retry_as_json(step.retry),
        timeout=step.timeout,
        priority=step.priority,
        continue_on_error=step.continue_on_error or None,
        **{"with": _in_order(step.kwargs) if step.kwargs else None},
    )


def _retry_as_json(retry: Retry) -> Json:
    return {"max": retry.max, **_changed(retry, Retry(max=retry.max))}


def _own_as_json(step: Step) -> Json:
    match step:
        case Container():
            return {"tasks": [_step_as_json(member) for member in step.members]}
        case MapStep():
            body = [_step_as_json(member) for member in step.body]
            return {"over": _in_order(step.over), "tasks": body} | _said(max_parallel=step.max_parallel)
        case WorkflowStep():
            return {"workflow": step.workflow} | _said(
                payload=None if step.payload == {} else _in_order(step.payload), timeout=step.timeout
            )
        case ApprovalStep() | WaitStep():
            usual, own = type(step)(id=step.id), _OWN[step.kind]
            return {part: getattr(step, part) for part in own if getattr(step, part) != getattr(usual, part)}
    raise AssertionError(step)


_OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "approval": ("prompt", "permission", "timeout", "on_timeout"),
    "wait": ("seconds", "until"),
}


def _hooks_as_json(steps: tuple[TaskStep, ...]) -> Json | list[Json]:
    made = [_step_as_json(step) for step in steps]
    return made[0] if len(made) == 1 else made


def _hooks_from_json(data: Json | list[Json]) -> tuple[TaskStep, ...]:
    return tuple(map(_task_from_json, data if isinstance(data, list) else [data]))


def _step_from_json(data: Json) -> Step:
    return _BY_TYPE[data["type"]](data) if "type" in data else _task_from_json(data)


def _common(data: Json) -> Json:
    return {
        "id": data["id"],
        "needs": tuple(data["needs"]) if "needs" in data else None,
        "when": data.get("when"),
        "trigger_rule": data.get("trigger_rule", NONE_FAILED),
        "description": data.get("description", ""),
        "queue": data.get("queue"),
    }


def _task_from_json(data: Json) -> TaskStep:
    return TaskStep(
        **_common(data),
        task=data["task"] if "task" in data else data["id"],
        kwargs=_as_written(data.get("with", {})),
        retry=_retry_from_json(data["retry"]) if "retry" in data else None,
        timeout=data.get("timeout"),
        priority=data.get("priority"),
        continue_on_error=data.get("continue_on_error", False),
    )


def _retry_from_json(data: Json) -> Retry:
    names: Json = {key: tuple(data[key]) for key in ("only", "never") if key in data}
    return Retry(**data | names)


def _container(data: Json) -> Container:
    return Container(**_common(data), kind=data["type"], members=tuple(map(_step_from_json, data["tasks"])))


def _map(data: Json) -> MapStep:
    return MapStep(
        **_common(data),
        over=_as_written(data["over"]),
        body=tuple(map(_task_from_json, data["tasks"])),
        max_parallel=data.get("max_parallel"),
    )


def _workflow(data: Json) -> WorkflowStep:
    payload = _as_written(data.get("payload", {}))
    return WorkflowStep(**_common(data), workflow=data["workflow"], payload=payload, timeout=data.get("timeout"))


def _approval(data: Json) -> ApprovalStep:
    return ApprovalStep(**_common(data), **{part: data[part] for part in _OWN["approval"] if part in data})


def _wait(data: Json) -> WaitStep:
    return WaitStep(**_common(data), **{part: data[part] for part in _OWN["wait"] if part in data})


_BY_TYPE: Final[Mapping[str, Callable[[Json], Step]]] = {
    "group": _container,
    "chain": _container,
    "map": _map,
    "workflow": _workflow,
    "approval": _approval,
    "wait": _wait,
}
