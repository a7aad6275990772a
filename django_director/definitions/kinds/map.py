"""`type: map`: Celery tasks, as a chain for each item of a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django_director.definitions.definition import Step, TaskStep
from django_director.definitions.fields.drafts import Draft, ReadSteps
from django_director.definitions.fields.expressions import read_expression
from django_director.definitions.fields.options import TASK_KEYS, read_list_of_steps, read_task_options
from django_director.definitions.fields.plain_values import MAX_INT, read_batch, read_text, read_whole
from django_director.definitions.fields.scopes import IN_MAP
from django_director.definitions.source import codes, foreign_words
from django_director.definitions.source.nodes import ListNode, MappingNode, Node, ScalarNode, describe
from django_director.definitions.source.report import Report
from django_director.definitions.stored_values import Json, keep_order, restore_order, without_none
from django_director.definitions.wording import shown_value
from django_director.expressions import compile_expression
from django_director.expressions import kind as kind_of_value

from .kind import Facts, Kind
from .task import BATCH_SCHEMA, OWN_SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class MapStep(Step):
    """One instance of a chain of Celery tasks for each item of a list."""

    kind: ClassVar[str] = "map"
    over: Any
    """An expression that gives a list, or the list."""
    body: tuple[TaskStep, ...] = field()
    """The only step has the map's id when the file says ``task:``."""
    max_parallel: int | None = None
    batch: int | None = None
    """How many items one message takes at most; ``None``: one."""

    @property
    def in_batches(self) -> tuple[TaskStep, ...]:
        return self.body

    def expressions(self) -> Mapping[str, Any]:
        return {"over": self.over}


class Map(Kind[MapStep]):
    """Reads `over`, what limits the items, and the tasks for each item."""

    name = "map"
    step = MapStep
    keys = ("type", "over", "tasks", "max_parallel", "batch", *TASK_KEYS)
    foreign_words = foreign_words.OF_STEPS | foreign_words.words("""
write `over: payload.items`
    items item_list foreach for_each each loop list matrix with_items with_param
write `max_parallel: 10`
    concurrency max_concurrency max_workers parallelism limit parallel
write `batch: 50`
    batch_size chunk chunks chunk_size chunksize
write `tasks:` with the steps of each item, or `task: NAME`
    steps jobs body do
""")
    schema: ClassVar = {
        "properties": OWN_SCHEMA
        | {
            "type": {"const": "map"},
            "over": {"type": ["string", "array"], "description": "An expression that gives a list, or the list."},
            "tasks": {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/definitions/hook"},
                "description": "Celery tasks, as a chain for each item.",
            },
            "max_parallel": {"type": "integer", "minimum": 1},
            "batch": BATCH_SCHEMA,
        },
        "required": ["type", "over"],
        "oneOf": [{"required": ["task"]}, {"required": ["tasks"]}],
    }

    def read(self, draft: Draft, body: MappingNode, report: Report, read_steps: ReadSteps) -> None:
        draft.uses = uses = list(draft.uses)
        draft.own = {
            "over": read_expression(body, "over", report, uses),
            "max_parallel": read_whole(body, "max_parallel", 1, MAX_INT, report),
            "batch": read_batch(body, report),
        }
        _check_over(draft, body.get("over"), report)
        report = report.inside(known=IN_MAP)
        each = Draft(name=draft.name, kind="task", node=draft.node)
        read_task_options(each, body, report)
        _read_body(draft, each, body, report, read_steps)

    def freeze(self, draft: Draft, common: Json, freeze: Callable[[Draft], Any]) -> MapStep:
        return MapStep(**common, body=tuple(map(freeze, draft.members)), **draft.own)

    def to_json(self, step: MapStep, store: Callable[[Step], Json]) -> Json:
        body = [store(task) for task in step.body]
        limits = without_none(max_parallel=step.max_parallel, batch=step.batch)
        return {"over": keep_order(step.over), "tasks": body} | limits

    def from_json(self, data: Json, common: Json, load: Callable[[Json], Any]) -> MapStep:
        return MapStep(
            **common,
            over=restore_order(data["over"]),
            body=tuple(map(load, data["tasks"])),
            max_parallel=data.get("max_parallel"),
            batch=data.get("batch"),
        )

    def describe(self, step: MapStep) -> Facts:
        yield "over", shown_value(step.over)
        yield "max_parallel", None if step.max_parallel is None else str(step.max_parallel)
        yield "batch", None if step.batch is None else str(step.batch)


def _read_body(draft: Draft, each: Draft, body: MappingNode, report: Report, read_steps: ReadSteps) -> None:
    """Read ``task`` or ``tasks``. ``each`` has the options that the map gives to every task in it."""
    task, tasks = read_text(body, "task", report), body.get("tasks")
    if (body.get("task") is None) == (tasks is None):
        has = "neither `task` nor `tasks`" if tasks is None else "both `task` and `tasks`"
        message = f"the map “{draft.name}” has {has}"
        report.error(codes.INCOMPLETE, draft.node, message, "write `task: NAME`, or `tasks:` for several")
    elif tasks is not None:
        if (listed := read_list_of_steps(draft, body, report)) is not None:
            _read_tasks(draft, each, listed, report, read_steps)
    elif task is not None:
        each.task = draft.task = task
        draft.members = [each]


def _read_tasks(draft: Draft, each: Draft, tasks: ListNode, report: Report, read_steps: ReadSteps) -> None:
    read = read_steps(tasks, report, "map")
    draft.members = [member for member in read if _is_for_map(draft, member, report)]
    _share(each, draft.members)
    if not tasks.items:
        report.error(codes.INCOMPLETE, tasks, f"the map “{draft.name}” has no `tasks`", "name a Celery task")


def _check_over(draft: Draft, node: Node | None, report: Report) -> None:
    """Report a map without `over`, or with a value that can't be a list."""
    hint = "write `over: tasks.ID.result`, or a list"
    if node is None:
        report.error(codes.INCOMPLETE, draft.node, f"the map “{draft.name}” has no `over`", hint)
    elif isinstance(node, ScalarNode) and not isinstance(node.value, str):
        report.error(codes.VALUE, node, f"`over` must give a list, and is {describe(node)}", hint)
    elif isinstance(draft.own["over"], str) and not isinstance(value := _find_constant(draft.own["over"]), list):
        report.error(codes.VALUE, node, f"`over` must give a list, and gives {kind_of_value(value)}", hint)


def _find_constant(over: str) -> object:
    """Return what an expression gives whatever the data; a list where that is not known."""
    expression = compile_expression(over)
    return [] if expression.references else expression.evaluate({})


def _is_for_map(draft: Draft, member: Draft, report: Report) -> bool:
    """Return whether a member can stand in the map; report it if not."""
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


def _share(each: Draft, members: list[Draft]) -> None:
    """Give a map's options to those tasks in it that do not have them themselves."""
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
