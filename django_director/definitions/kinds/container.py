"""`type: group`, whose members run in parallel, and `type: chain`, whose members run in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

from django_director.definitions.definition import Step
from django_director.definitions.fields.drafts import Draft, ReadSteps
from django_director.definitions.fields.options import COMMON_KEYS, read_list_of_steps
from django_director.definitions.source import codes
from django_director.definitions.source.nodes import MappingNode
from django_director.definitions.source.report import Report
from django_director.definitions.stored_values import Json

from .kind import Kind

Order = Literal["group", "chain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container(Step):
    """A group (members in parallel) or a chain (members in order)."""

    kind: Order = field()
    members: tuple[Step, ...] = ()


class _Containers(Kind[Container]):
    """What groups and chains share."""

    step = Container
    keys = ("type", "tasks", *COMMON_KEYS)
    schema_name = "container"
    schema: ClassVar = {
        "properties": {"type": {"enum": ["group", "chain"]}, "tasks": {"$ref": "#/definitions/steps"}},
        "required": ["type", "tasks"],
    }

    def read(self, draft: Draft, body: MappingNode, report: Report, read_steps: ReadSteps) -> None:
        tasks = read_list_of_steps(draft, body, report)
        if tasks is not None:
            draft.members = read_steps(tasks, report, cast(Order, draft.kind))
            self.check_size(draft, len(tasks.items), report)

    def check_size(self, draft: Draft, size: int, report: Report) -> None:
        """Note what is odd about the number of members that the file has; nothing by default."""

    def freeze(self, draft: Draft, common: Json, freeze: Callable[[Draft], Any]) -> Container:
        return Container(**common, kind=cast(Order, draft.kind), members=tuple(map(freeze, draft.members)))

    def to_json(self, step: Container, store: Callable[[Step], Json]) -> Json:
        return {"tasks": [store(member) for member in step.members]}

    def from_json(self, data: Json, common: Json, load: Callable[[Json], Any]) -> Container:
        return Container(**common, kind=data["type"], members=tuple(map(load, data["tasks"])))


class Group(_Containers):
    """Members that run in parallel."""

    name = "group"

    def check_size(self, draft: Draft, size: int, report: Report) -> None:
        if size == 1:
            message = f"the group “{draft.name}” has one member: the next task gets a list of one result"
            hint = "celery-director passed the bare result; put the task in the list itself for that"
            report.note(codes.GROUP_OF_ONE, draft.node, message, hint)
        elif not size:
            message = f"the group “{draft.name}” has no members: the next task gets an empty list"
            report.note(codes.EMPTY_GROUP, draft.node, message, "take it out if that is not meant")


class Chain(_Containers):
    """Members that run in order."""

    name = "chain"
