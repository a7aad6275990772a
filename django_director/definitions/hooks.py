"""`hooks:` of a workflow."""

from __future__ import annotations

from typing import Final

from . import codes, foreign
from .drafts import Draft
from .names import Names, not_before
from .report import Report
from .scopes import IN_HOOK, check_use
from .steps import read_step
from .tree import ListNode, MappingNode, Node, describe

HOOKS: Final = ("success", "failure", "canceled", "always")


def hook_id(outcome: str, number: int = 1) -> str:
    """The id of the first hook of an outcome, of the second, and so on."""
    return f"hooks.{outcome}" if number == 1 else f"hooks.{outcome}-{number}"


def read_hooks(node: Node | None, report: Report) -> dict[str, list[Draft]]:
    """The hooks by outcome, with their ids."""
    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        message = f"`hooks` must be a mapping, and is {describe(node)}"
        report.error(codes.VALUE, node, message, "write `hooks: {failure: TASK}`")
        return {}
    node = report.check_keys(node, "in `hooks`", HOOKS, foreign=foreign.OF_HOOKS)
    report = report.inside(known=IN_HOOK)
    hooks = {outcome: _read_outcome(outcome, node.get(outcome), report) for outcome in HOOKS}
    return {outcome: drafts for outcome, drafts in hooks.items() if drafts}


def _read_outcome(outcome: str, node: Node | None, report: Report) -> list[Draft]:
    if node is None:
        return []
    report = report.inside(step=hook_id(outcome))
    is_list = isinstance(node, ListNode)
    drafts = []
    for item in node.items if isinstance(node, ListNode) else [node]:
        draft = read_step(item, report, "hook")
        if draft is not None and _is_task(draft, outcome, item, report, is_list=is_list):
            drafts.append(draft)
            draft.id = hook_id(outcome, len(drafts))
    return drafts


def _is_task(draft: Draft, outcome: str, node: Node, report: Report, *, is_list: bool) -> bool:
    if draft.kind != "task":
        message = f"`hooks.{outcome}` must be one task, and is of type `{draft.kind}`"
        hint = f"write `{outcome}: TASK`"
        if is_list:
            message = f"`hooks.{outcome}` must be a list of tasks, and has one of type `{draft.kind}`"
            hint = f"write `{outcome}: [TASK, TASK]`"
        report.error(codes.HOOK, node, message, hint)
        return False
    if draft.needs is not None:
        message = f"“{draft.name}” is a hook: each waits for the one before it in its list"
        report.error(codes.NEEDS, draft.node, message, "take `needs` out")
    return True


def check_hooks(hooks: dict[str, list[Draft]], names: Names, report: Report) -> None:
    """Report what is wrong with what the expressions of hooks use: every step has ended before them."""
    for drafts in hooks.values():
        ids = [draft.id for draft in drafts]
        for number, draft in enumerate(drafts):
            own = report.inside(step=draft.id)
            for use in draft.uses:
                if not check_use(use, IN_HOOK, own) or use.reference.root != "tasks":
                    continue
                name = use.reference.path[0]
                if name not in ids:
                    names.used(use, own)
                elif name not in ids[:number]:
                    not_before(use, drafts[ids.index(str(name))], own)
