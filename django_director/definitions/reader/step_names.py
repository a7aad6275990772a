"""Finds steps by the names that `needs` and expressions give them."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Final

from django_director.common.suggestions import LISTED, MAX_HINTS, did_you_mean, nearest
from django_director.definitions.fields.drafts import Draft, walk
from django_director.definitions.fields.expressions import Use
from django_director.definitions.kinds import KINDS
from django_director.definitions.source import codes
from django_director.definitions.source.nodes import Node
from django_director.definitions.source.report import Report

DECISION: Final = ("approved", "by", "comment", "at")
"""The keys of `tasks.ID.decision`."""


def not_before(use: Use, target: Draft, report: Report) -> None:
    message = f"`{use.key}` uses the step “{target.id}”, which does not come before this one"
    hint = f"move “{target.id}” before this step, or name it in `needs`"
    report.error(codes.NOT_BEFORE, use.node, message, hint)


def _check_decision(use: Use, report: Report) -> None:
    field, *keys = use.reference.path[1:]
    if field == "decision" and keys and keys[0] not in DECISION and not use.reference.may_be_missing:
        message = f"`{use.key}`: a decision has no `{keys[0]}`"
        report.error(codes.SCOPE, use.node, message, did_you_mean(str(keys[0]), DECISION))


class Names:
    """The steps of a workflow by name. They have their ids. Most workflows never ask for a step by its name."""

    def __init__(self, drafts: list[Draft]) -> None:
        self.drafts: Final = list(walk(drafts))
        self.hints: Final[dict[str, str]] = {}

    @cached_property
    def by_id(self) -> dict[str, Draft]:
        return {draft.id: draft for draft in self.drafts}

    @cached_property
    def by_name(self) -> dict[str, list[Draft]]:
        found: dict[str, list[Draft]] = {}
        for draft in self.drafts:
            found.setdefault(draft.name, []).append(draft)
        return found

    @cached_property
    def around(self) -> dict[int, Draft]:
        """The container or map that a step stands in, by the step's identity."""
        return {id(member): draft for draft in self.drafts for member in draft.named_members}

    def needed(self, draft: Draft, name: str, node: Node, report: Report) -> Draft | None:
        """Return the step that a name in `needs` means; ``None`` when that is wrong, which is reported."""
        target = self.find(name, node, report)
        if target is None:
            return None
        wrong = self._wrong_need(draft, target)
        if wrong is None:
            return target
        report.error(codes.NEEDS, node, *wrong)
        return None

    def used(self, use: Use, report: Report, at: Draft | None = None, own: Collection[str] = ()) -> Draft | None:
        """Return the step that an expression uses.

        Returns ``None`` when that is wrong, which is reported, and when it is one of ``own``. ``at`` is the step
        that must come after it; for a task in a map it is the map, and ``own`` are the ids of the tasks before it
        there.
        """
        target = self.find(str(use.reference.path[0]), use.node, report)
        if target is None:
            return None
        if at is not None and (target is at or self._is_inside(at, target)):
            message = f"`{use.key}` uses the result of “{target.id}”, which it is a part of itself"
            report.error(codes.NOT_BEFORE, use.node, message, "use a step that has ended by then")
            return None
        if at is not None and at.is_container and self._is_inside(target, at):
            message = f"`{use.key}` uses the step “{target.id}”, which stands in “{at.id}” itself"
            report.error(codes.NOT_BEFORE, use.node, message, "use a step that has ended by then")
            return None
        outer = self.map_around(target)
        if outer is not None and outer is at:
            if target.id not in own:
                not_before(use, target, report)
            return None
        if outer is not None:
            message = f"“{target.id}” stands in the map “{outer.id}”, and is known only there"
            report.error(codes.SCOPE, use.node, message, f"use “{outer.id}”: its result is the list of them")
            return None
        if use.reference.path[1] == "decision" and not KINDS[target.kind].has_decision:
            message = f"“{target.id}” is no approval, and has no `.decision`"
            report.error(codes.SCOPE, use.node, message, "write `.result` or `.status`")
            return None
        _check_decision(use, report)
        return target

    def find(self, name: str, node: Node, report: Report) -> Draft | None:
        """Return the step of an id. Report a name that is unknown, and a name that stands for several steps."""
        target = self.by_id.get(name)
        several = self.by_name.get(name, ())
        if len(several) > 1 and (target is None or target in several):
            listed = ", ".join(f"“{draft.id}”" for draft in several[:LISTED])
            more = ", …" if len(several) > LISTED else ""
            message = f"“{name}” stands for several steps: {listed}{more}"
            hint = "give the one that is meant an id of its own: `ID: {task: …}`"
            report.error(codes.SEVERAL_STEPS, node, message, hint)
            return None
        if target is None and not report.is_unread(name):
            report.error(codes.UNKNOWN_STEP, node, f"no step is called “{name}”", self.hint(name), about=name)
        return target

    def hint(self, name: str) -> str:
        if name not in self.hints:
            near = ""
            if len(self.hints) < MAX_HINTS:
                by_task = (draft.id for draft in self.drafts if draft.task == name)
                near = next(by_task, "") or nearest(name, self.by_id)
            self.hints[name] = f"did you mean “{near}”?" if near else "name a step or a container of this workflow"
        return self.hints[name]

    def map_around(self, draft: Draft) -> Draft | None:
        outer = self.around.get(id(draft))
        return outer if outer is not None and outer.kind == "map" else None

    def _wrong_need(self, draft: Draft, target: Draft) -> tuple[str, str] | None:
        if target is draft:
            return f"“{draft.id}” needs itself", "name another step"
        if (outer := self.map_around(target)) is not None:
            return f"“{target.id}” stands in the map “{outer.id}”", f"name the map: `needs: [{outer.id}]`"
        if self._is_inside(draft, target):
            hint = "name a step outside of it, or one of its other members"
            return f"“{draft.id}” stands in “{target.id}”, and can't wait for its end", hint
        if self._is_inside(target, draft):
            return f"“{target.id}” stands in “{draft.id}” itself", "name a step outside of it"
        return None

    def _is_inside(self, draft: Draft, outer: Draft) -> bool:
        around = self.around.get(id(draft))
        while around is not None and around is not outer:
            around = self.around.get(id(around))
        return around is outer
