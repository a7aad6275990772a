"""Reads `hooks:` of a workflow."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain, count
from typing import Final

from django_director.definitions.definition import OUTCOMES
from django_director.definitions.fields.drafts import Draft
from django_director.definitions.fields.plain_values import NAME_LENGTH
from django_director.definitions.fields.scopes import IN_HOOK, check_use
from django_director.definitions.source import codes, foreign_words
from django_director.definitions.source.nodes import ListNode, MappingNode, Node, describe
from django_director.definitions.source.report import Report

from .step_ids import ID, ID_HINT
from .step_names import Names
from .steps import read_step


def read_hooks(node: Node | None, report: Report) -> dict[str, list[Draft]]:
    """Return the hooks by outcome, with their ids."""
    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        message = f"`hooks` must be a mapping, and is {describe(node)}"
        report.error(codes.VALUE, node, message, "write `hooks: {failure: TASK}`")
        return {}
    node = report.check_keys(node, "in `hooks`", OUTCOMES, foreign=foreign_words.OF_HOOKS)
    report = report.inside(known=IN_HOOK)
    hooks = {outcome: _read_outcome(outcome, node.get(outcome), report) for outcome in OUTCOMES}
    return {outcome: drafts for outcome, drafts in hooks.items() if drafts}


def _read_outcome(outcome: str, node: Node | None, report: Report) -> list[Draft]:
    if node is None:
        return []
    report = report.inside(step=f"hooks.{outcome}")
    is_list = isinstance(node, ListNode)
    drafts: list[Draft] = []
    for item in node.items if isinstance(node, ListNode) else [node]:
        draft = read_step(item, report, "hook")
        if draft is not None and _is_task(draft, outcome, item, report, is_list=is_list):
            draft.id = _id(outcome, draft.name, {other.id for other in drafts})
            drafts.append(draft)
            _check_name(draft, report)
    return drafts


def _id(outcome: str, name: str, taken: Collection[str]) -> str:
    """Return the id of a hook: its name behind the outcome, with a number when the name stands there again."""
    names = (f"hooks.{outcome}.{name}{end}" for end in chain([""], (f"-{number}" for number in count(2))))
    return next(name for name in names if name not in taken)


def _check_name(draft: Draft, report: Report) -> None:
    if draft.explicit and not ID.fullmatch(draft.name):
        report.error(codes.STEP_ID, draft.node, f"“{draft.name}” can't be the id of a hook", ID_HINT)
    if len(draft.id) > NAME_LENGTH:
        message = f"the hook's id, “{draft.id[:20]}…”, has more than {NAME_LENGTH} characters"
        report.error(codes.TOO_LONG, draft.node, message, "give it a shorter one: `ID: {task: …}`")


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
    """Report names that expressions of hooks must not use: every step has ended before them, no hook has."""
    known = {name for drafts in hooks.values() for draft in drafts for name in (draft.id, draft.name)}
    for drafts in hooks.values():
        for draft in drafts:
            own = report.inside(step=draft.id)
            for use in draft.uses:
                if not check_use(use, IN_HOOK, own) or use.reference.root != "tasks":
                    continue
                name = str(use.reference.path[0])
                if name in known and name not in names.by_id and name not in names.by_name:
                    message = f"`{use.key}` uses the hook “{name}”, and expressions know steps only"
                    own.error(codes.SCOPE, use.node, message, _RECEIVED)
                else:
                    names.used(use, own)


_RECEIVED: Final = "a hook gets the result of the one before it in its list, by position"
