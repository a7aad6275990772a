"""Shows with which arguments a worker called a task; they are computed again from the rows, as a worker does it.

Expressions are evaluated twice: once with all values, and once with secrets masked. Where the two results differ a
secret has gone in, and the page hides the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, Final, NamedTuple

from django.utils.translation import gettext as _

from django_director.definitions import TaskStep, WorkflowStep
from django_director.definitions.call_plan import Plan
from django_director.engine.attempts.claim import Claim, preview_claim
from django_director.engine.attempts.payloads import Payload
from django_director.exceptions import DirectorError, ExpressionError
from django_director.graph import Node, expand, of_node
from django_director.masking.differences import hide_differences
from django_director.masking.redaction import Redactor, shown_error
from django_director.masking.values import MASKED, hidden_in, mask
from django_director.models import Task
from django_director.status import TaskStatus
from django_director.sync.project import plans_of
from django_director.worker import inputs

from . import formatting, shown_items

PARTS: Final = 200
"""A page does not show arguments that are made of more results than this."""
ARGUMENTS: Final = 40
"""How many arguments a page shows."""


class Argument(NamedTuple):
    """One argument; ``origin`` says where its value comes from, unless that is ``with``."""

    name: str
    raw: object
    """The whole value, masked."""
    origin: str = ""
    is_payload: bool = False
    """Whether it is the payload of the run, which the page shows anyway."""

    @property
    def value(self) -> formatting.Text | None:
        """The value as the page shows it."""
        return None if self.is_payload else formatting.json_text(self.raw)


class Call(NamedTuple):
    """The arguments of a task's last attempt, or why they can't be shown."""

    arguments: list[Argument] = []
    note: str = ""
    error: str = ""


def of_task(task: Task, node: Node) -> Call | None:
    """Return the arguments of a task that was called, or the payload that a step gave to its child run.

    It is ``None`` for other tasks.
    """
    is_called = task.started_at is not None and task.status != TaskStatus.SKIPPED
    if not is_called or not isinstance(node.step, TaskStep | WorkflowStep):
        return None
    if _count_results(task, node) > PARTS:
        return Call(note=_("They are made of the results of too many tasks: see those."))
    seen = preview_claim(task)
    if seen.too_large:
        return Call(
            error=_("The results it receives have %(size)s bytes.") % {"size": formatting.number(seen.too_large)}
        )
    try:
        return _call(seen, _mask_claim(seen, task))
    except DirectorError as error:
        return Call(error=str(error))


def _count_results(task: Task, node: Node) -> int:
    """Return of how many results the arguments are made."""
    values = of_node(task.run.version.graph, node)
    places = set(expand((*node.shape.spans(), *(values.results if values else ()))))
    made = task.run.version.graph.last_in(places)
    return len(places) + (task.run.tasks.at_items(made).count() if made else 0)


def _mask_claim(seen: Claim, task: Task) -> Claim:
    """Return the claim of a task with its secrets masked."""
    names, upstream = dict(seen.names), mask(seen.upstream)
    shown = mask(seen.payload.value, seen.graph.definition.schema)
    if "payload" in names:
        names["payload"] = shown
    if "item" in names:
        names["item"] = shown_items.masked(task, seen.node, names["item"], shown)
    if seen.node.takes_item:
        upstream = shown_items.masked(task, seen.node, seen.upstream, shown)
    if "tasks" in names:
        names["tasks"] = {step: _mask_result(fields) for step, fields in names["tasks"].items()}
    payload = Payload.of_value(seen.run.pk, shown)
    return replace(seen, payload=payload, upstream=upstream, names=names)


def _mask_result(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"result": mask(fields["result"])} if "result" in fields else fields


def _call(seen: Claim, hidden: Claim) -> Call:
    if isinstance(seen.node.step, WorkflowStep):
        return Call([_argument("payload", _evaluate_masked(inputs.child_payload, seen, hidden))])
    given = _evaluate_masked(inputs.evaluate_with, seen, hidden)
    plans = plans_of(seen.node.name)
    if plans is None:
        note = _("The code of the task is not loaded here: which parameter gets what is not known.")
        return Call(_limit(_unbound_arguments(given, hidden)), note)
    return Call(_limit(_bound_arguments(plans.plan(given, seen.node.receives), given, hidden)))


def _limit(arguments: Iterator[Argument]) -> list[Argument]:
    return list(islice(arguments, ARGUMENTS))


def _bound_arguments(plan: Plan, given: dict[str, Any], hidden: Claim) -> Iterator[Argument]:
    args, kwargs = plan.bind(
        given=given, payload=hidden.payload.value, workflow_id=str(hidden.run.pk), upstream=hidden.upstream
    )
    named = [
        ("*args" if slot.name == "*" else slot.name, value) for slot, value in zip(plan.args, args, strict=True)
    ]
    for name, value in [*named, *kwargs.items()]:
        if value is hidden.payload.value and name not in given:
            yield Argument(formatting.name(name), value, _("the payload of the run, see below"), is_payload=True)
        else:
            is_upstream = value is hidden.upstream and name not in given and value is not None
            yield _argument(name, value, _origin(hidden) if is_upstream else "")


def _unbound_arguments(given: dict[str, Any], hidden: Claim) -> Iterator[Argument]:
    if hidden.node.receives:
        yield _argument(_("from before"), hidden.upstream, _origin(hidden))
    for name, value in given.items():
        yield _argument(name, value)


def _origin(hidden: Claim) -> str:
    return _("the item of the map") if hidden.node.takes_item else _("the result of what is before it")


def _argument(name: str, value: object, origin: str = "") -> Argument:
    return Argument(formatting.name(name), mask({name: value})[name], origin)


def _evaluate_masked(evaluate: Callable[[Claim], Any], seen: Claim, hidden: Claim) -> Any:
    """Return what ``evaluate`` returns, masked where a secret has gone into it. Raises ``DirectorError``."""
    try:
        real = evaluate(seen)
    except ExpressionError as error:
        raise DirectorError(_explain_error(error, evaluate, seen, hidden)) from None
    try:
        return hide_differences(real, evaluate(hidden))
    except ExpressionError:
        return dict.fromkeys(real, MASKED) if isinstance(real, dict) else MASKED


def _explain_error(error: ExpressionError, evaluate: Callable[[Claim], Any], seen: Claim, hidden: Claim) -> str:
    """Return why there are no arguments, without secrets of the payload, of results and of the item."""
    texts = Redactor(lambda: seen.payload.value, seen.graph.definition.schema, None)
    texts.add(hidden_in([seen.names.get("tasks"), seen.names.get("item")]))
    return shown_error(error, lambda: evaluate(hidden), texts)
