"""What a worker makes of a claim before a task runs: whether it runs at all, and with which arguments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django_director.conf import director
from django_director.definitions import WorkflowStep
from django_director.engine.attempts.claim import Claim
from django_director.exceptions import InputTooLarge

if TYPE_CHECKING:
    from django_director.celery import DirectorTask


def evaluate_when(claimed: Claim) -> bool:
    """Evaluate ``when``. Raises ``ExpressionError`` and ``InputTooLarge``."""
    if claimed.too_large:
        raise _too_large(claimed.too_large)
    values = claimed.values
    return values is None or bool(values.evaluate("when", claimed.names, missing=True))


def given(claimed: Claim) -> dict[str, Any]:
    """What ``with`` gives, with its expressions filled in. Raises ``ExpressionError``."""
    values, plain = claimed.values, claimed.node.kwargs
    made: dict[str, Any] = plain if values is None else values.evaluate("with", claimed.names, missing=plain)
    return made


def child_payload(claimed: Claim) -> Any:
    """What a workflow as a step gets for its payload. Raises ``ExpressionError``."""
    step, values = claimed.node.step, claimed.values
    assert isinstance(step, WorkflowStep)
    return step.payload if values is None else values.evaluate("payload", claimed.names, missing=step.payload)


def arguments(task: DirectorTask, claimed: Claim) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the user's function. Raises ``DirectorError`` for what can't be given to it."""
    kwargs = given(claimed)
    _check_input(claimed, kwargs)
    return task.plans.plan(kwargs, claimed.node.receives).bind(
        given=kwargs,
        payload=claimed.payload,
        workflow_id=str(claimed.run.pk),
        upstream=claimed.upstream,
    )


def _check_input(claimed: Claim, kwargs: dict[str, Any]) -> None:
    """Refuse an input over ``MAX_INPUT``; measured only where enough results come together to get there."""
    is_plain = kwargs is claimed.node.kwargs
    if is_plain and claimed.node.shape.parts * director.MAX_RESULT <= director.MAX_INPUT:
        return
    size = len(json.dumps(claimed.upstream if is_plain else [claimed.upstream, kwargs]))
    if size > director.MAX_INPUT:
        raise _too_large(size)


def _too_large(size: int) -> InputTooLarge:
    return InputTooLarge(
        f"the results it receives have {size:,} bytes, the limit is {director.MAX_INPUT:,} "
        '(DIRECTOR["MAX_INPUT"]); let the steps before it return less'
    )
