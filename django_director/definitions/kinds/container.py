"""`type: group`, whose members run in parallel, and `type: chain`, whose members run in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

from django_director.definitions.definition import Step
from django_director.definitions.fields.drafts import Draft, ReadSteps
from django_director.definitions.fields.options import COMMON_KEYS, read_list_of_steps
from django_director.definitions.fields.plain_values import read_batch
from django_director.definitions.source import codes
from django_director.definitions.source.nodes import MappingNode
from django_director.definitions.source.report import Report
from django_director.definitions.stored_values import Json, without_none

from .kind import Facts, Kind
from .task import BATCH_SCHEMA

Order = Literal["group", "chain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container(Step):
    """A group (members in parallel) or a chain (members in order)."""

    kind: Order = field()
    members: tuple[Step, ...] = ()
    batch: int | None = None
    """For a group of one task: how many members one message takes at most; ``None``: one."""

    @property
    def in_batches(self) -> tuple[Step, ...]:
        return self.members


class _Containers(Kind[Container]):
    """What groups and chains share."""

    step = Container
    keys = ("type", "tasks", "batch", *COMMON_KEYS)
    schema_name = "container"
    schema: ClassVar = {
        "properties": {
            "type": {"enum": ["group", "chain"]},
            "tasks": {"$ref": "#/definitions/steps"},
            "batch": BATCH_SCHEMA,
        },
        "required": ["type", "tasks"],
    }

    def read(self, draft: Draft, body: MappingNode, report: Report, read_steps: ReadSteps) -> None:
        draft.own = {"batch": read_batch(body, report)}
        tasks = read_list_of_steps(draft, body, report)
        if tasks is not None:
            draft.members = read_steps(tasks, report, cast(Order, draft.kind))
            self.check_size(draft, len(tasks.items), report)

    def check_size(self, draft: Draft, size: int, report: Report) -> None:
        """Note what is odd about the number of members that the file has; nothing by default."""

    def freeze(self, draft: Draft, common: Json, freeze: Callable[[Draft], Any]) -> Container:
        members = tuple(map(freeze, draft.members))
        return Container(**common, kind=cast(Order, draft.kind), members=members, **draft.own)

    def to_json(self, step: Container, store: Callable[[Step], Json]) -> Json:
        members = [store(member) for member in step.members]
        return {"tasks": members} | without_none(batch=step.batch)

    def from_json(self, data: Json, common: Json, load: Callable[[Json], Any]) -> Container:
        members = tuple(map(load, data["tasks"]))
        return Container(**common, kind=data["type"], members=members, batch=data.get("batch"))

    def describe(self, step: Container) -> Facts:
        yield "batch", None if step.batch is None else str(step.batch)


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
