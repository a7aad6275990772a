"""What a worker works out before a task runs: whether it is to run at all, and with which arguments."""

from __future__ import annotations

import json
from typing import Any

from django_director.conf import director
from django_director.definitions import WorkflowStep
from django_director.definitions.call_plan import USES_NONE, Uses
from django_director.engine.attempts.claim import Claim
from django_director.exceptions import DirectorError, InputTooLarge
from django_director.graph import Node

from .protocols import StepTask


def uses_of(task: StepTask, node: Node) -> Uses:
    """Return which values the function of a step's task uses; none if it can't be called as the step says."""
    try:
        return task.plans.plan(node.kwargs, node.receives).uses
    except DirectorError:
        # The attempt will fail with this error, before any value is used.
        return USES_NONE


def evaluate_when(claimed: Claim) -> bool:
    """Evaluate the step's ``when``; without one it is ``True``.

    Raises ``ExpressionError`` and ``InputTooLarge``.
    """
    if claimed.too_large:
        raise _too_large(claimed.too_large)
    values = claimed.values
    return values is None or bool(values.evaluate("when", claimed.names, missing=True))


def evaluate_with(claimed: Claim) -> dict[str, Any]:
    """Return the arguments that the step's ``with`` gives, after its expressions. Raises ``ExpressionError``."""
    values, plain = claimed.values, claimed.node.kwargs
    made: dict[str, Any] = plain if values is None else values.evaluate("with", claimed.names, missing=plain)
    return made


def child_payload(claimed: Claim) -> object:
    """Return the payload of the child run that a step starts. Raises ``ExpressionError``."""
    step, values = claimed.node.step, claimed.values
    assert isinstance(step, WorkflowStep)
    return step.payload if values is None else values.evaluate("payload", claimed.names, missing=step.payload)


def bind_arguments(task: StepTask, claimed: Claim) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of the user's function. Raises ``DirectorError`` if it can't be called with them."""
    kwargs = evaluate_with(claimed)
    _check_input(claimed, kwargs)
    plan = task.plans.plan(kwargs, claimed.node.receives)
    return plan.bind(
        given=kwargs,
        payload=claimed.payload.copy() if plan.uses.payload else None,
        workflow_id=str(claimed.run.pk),
        upstream=claimed.upstream,
    )


def _check_input(claimed: Claim, kwargs: dict[str, Any]) -> None:
    """Raise ``InputTooLarge`` for an input over ``MAX_INPUT``.

    It is measured only if the step receives so many results that it may be so large.
    """
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
