"""Gives ids to steps: explicit ones first, then to repeated groups, then to bare names in the file's order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count
from typing import Final

from django_director.definitions.fields.drafts import Draft, walk
from django_director.definitions.fields.plain_values import NAME_LENGTH
from django_director.definitions.source import codes
from django_director.definitions.source.report import Report

ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
ID_HINT: Final = "letters, digits, `_` and `-`, not beginning with a digit or `-`"


def name_steps(drafts: list[Draft], reserved: Iterable[str], report: Report) -> None:
    """Give each draft an id that is not reserved. Report ids that are wrong, taken or too long."""
    every = list(walk(drafts))
    taken: dict[str, Draft | None] = dict.fromkeys(reserved)
    repeated = [draft for draft in every if draft.explicit and not _take(draft, taken, report)]
    next_number: dict[str, int] = {}
    for draft in repeated + [draft for draft in every if not draft.explicit]:
        draft.id = _free(draft.name, taken, next_number)
        taken[draft.id] = draft
    for draft in every:
        _check_length(draft, report)
        if draft.kind == "map" and draft.task:
            draft.members[0].id = draft.id


def _take(draft: Draft, taken: dict[str, Draft | None], report: Report) -> bool:
    """Take the explicit id of a draft; return false for a group whose name is to get a number."""
    report = report.inside(step=draft.name)
    if not ID.fullmatch(draft.name):
        report.error(codes.STEP_ID, draft.node, f"“{draft.name}” can't be the id of a step", ID_HINT)
    first = taken.get(draft.name)
    if first is None:
        draft.id = draft.name
        taken[draft.name] = draft
        return True
    if first.kind == draft.kind == "group":
        return False
    draft.id = draft.name
    where = report.place(first.node)
    report.error(
        codes.STEP_TWICE, draft.node, f"the id “{draft.name}” stands twice, first at {where}", "rename one of them"
    )
    return True


def _free(name: str, taken: dict[str, Draft | None], next_number: dict[str, int]) -> str:
    if name not in taken:
        return name
    for number in count(next_number.get(name, 2)):
        candidate = f"{name}-{number}"
        if candidate not in taken:
            next_number[name] = number + 1
            return candidate
    raise AssertionError("count() never ends")


def _check_length(draft: Draft, report: Report) -> None:
    if len(draft.id) > NAME_LENGTH:
        report.inside(step=draft.id).error(
            codes.TOO_LONG, draft.node, f"the step's id has more than {NAME_LENGTH} characters", "shorten it"
        )
