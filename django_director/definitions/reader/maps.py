"""What stands in a map: Celery tasks, as a chain for each item."""

from __future__ import annotations

from typing import Any

from django_director.definitions.source import codes
from django_director.definitions.source.nodes import Node, ScalarNode, describe
from django_director.definitions.source.report import Report
from django_director.expressions import compile_expression, kind

from .drafts import Draft


def check_over(draft: Draft, node: Node | None, report: Report) -> None:
    """Report a map without `over`, or with a value that can't be a list."""
    hint = "write `over: tasks.ID.result`, or a list"
    if node is None:
        report.error(codes.INCOMPLETE, draft.node, f"the map “{draft.name}” has no `over`", hint)
    elif isinstance(node, ScalarNode) and not isinstance(node.value, str):
        report.error(codes.VALUE, node, f"`over` must give a list, and is {describe(node)}", hint)
    elif isinstance(draft.own["over"], str) and not isinstance(value := _known(draft.own["over"]), list):
        report.error(codes.VALUE, node, f"`over` must give a list, and gives {kind(value)}", hint)


def _known(over: str) -> Any:
    """What an expression gives whatever the data; a list where that is not known."""
    expression = compile_expression(over)
    return [] if expression.references else expression.evaluate({})


def is_for_map(draft: Draft, member: Draft, report: Report) -> bool:
    """Whether a member can stand in the map; it is reported if not."""
    report = report.inside(step=member.name)
    if member.kind != "task":
        message = f"the map “{draft.name}” holds Celery tasks only, and “{member.name}” is of type `{member.kind}`"
        report.error(codes.MAP_BODY, member.node, message, "put it in a workflow of its own, outside of the map")
        return False
    if member.needs is not None:
        message = f"“{member.name}” stands in the map “{draft.name}”: there each step waits for the one before it"
        report.error(codes.NEEDS, member.node, message, "take `needs` out")
        member.needs = None
    return True


def share(each: Draft, members: list[Draft]) -> None:
    """Give a map's options to the tasks in it, as far as they do not say otherwise."""
    for member in members:
        member.queue = member.queue or each.queue
        member.retry = member.retry or each.retry
        member.timeout = each.timeout if member.timeout is None else member.timeout
        member.priority = each.priority if member.priority is None else member.priority
        if member.continue_on_error is None:
            member.continue_on_error = each.continue_on_error
        member.kwargs = each.kwargs | member.kwargs
        # One `with` for all of them: it must be right for the first.
        member.uses = [*each.uses, *member.uses] if member is members[0] else member.uses
