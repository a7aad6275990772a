"""The forms of steps: names, tasks with options, groups, chains and maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, cast

from django_director.common.suggestions import did_you_mean, nearest
from django_director.definitions.source import codes, foreign_words
from django_director.definitions.source.compose import QUOTES, not_text
from django_director.definitions.source.nodes import (
    ListNode,
    MappingNode,
    Node,
    ScalarNode,
    describe,
    is_null,
    text_of,
)
from django_director.definitions.source.report import Report

from .drafts import Draft, Kind, walk
from .expressions import read_expression
from .malformed_steps import OPTIONS, read_many_keys, read_without_options
from .maps import check_over, is_for_map, share
from .options import CONTAINER_KEYS, ELSEWHERE, MAP_KEYS, TASK_KEYS, read_common, read_task_options
from .other_steps import read_approval, read_child, read_wait
from .scopes import IN_MAP
from .values import MAX_INT, read_text, read_whole

TYPES: Final = ("group", "chain", "map", "approval", "wait")
_DECIDING: Final = ("type", "tasks", "task", "workflow")
"""The keys that say of what kind a step is."""

Within = Literal["tasks", "group", "chain", "map", "hook"]
"""What a list of steps belongs to."""


def read_steps(node: ListNode, report: Report, within: Within = "tasks") -> list[Draft]:
    """The steps of a list; those that can't be understood are left out and reported."""
    drafts = (read_step(item, report, within) for item in node.items)
    return [draft for draft in drafts if draft is not None]


def read_step(node: Node, report: Report, within: Within = "tasks") -> Draft | None:
    """One step, or ``None`` when it can't be understood."""
    if isinstance(node, MappingNode):
        return _read_mapping(node, report, within)
    if isinstance(node, ListNode):
        report.error(
            codes.STEP_FORM,
            node,
            "a step is a name or a mapping, not a list",
            "for steps in parallel write `- NAME:` with `type: group` and `tasks:` under it",
        )
        return None
    return _named(cast(ScalarNode, node), report)


def _named(node: ScalarNode, report: Report) -> Draft | None:
    if is_null(node) or node.value == "":
        report.error(codes.STEP_FORM, node, "the step has no name", "write the task's name after the dash")
        return None
    name = _name(node, report)
    return None if name is None else Draft(name=name, kind="task", task=name, node=node)


def _name(node: ScalarNode, report: Report) -> str | None:
    name = text_of(node)
    if name is None:
        report.error(codes.KEY_NOT_TEXT, node, not_text("step", node), f'{QUOTES}: "{node.text}"')
    return name


def _read_mapping(node: MappingNode, report: Report, within: Within) -> Draft | None:
    entries = list(node.entries.values())
    if len(entries) != 1:
        return read_many_keys(node, report, lambda key, body: _with_options(key.text, key, body, report, within))
    key, body = entries[0].key, entries[0].value
    name = key.text
    report = report.inside(step=name)
    if is_null(body):
        return Draft(name=name, kind="task", task=name, node=key)
    if not isinstance(body, MappingNode):
        return read_without_options(key, body, report)
    return _with_options(name, key, body, report, within)


def _with_options(name: str, key: ScalarNode, body: MappingNode, report: Report, within: Within) -> Draft:
    body = report.mend_keys(body, f"in the step “{name}”", OPTIONS, _DECIDING)
    if "type" not in body.entries and "tasks" not in body.entries and "workflow" not in body.entries:
        return _task(name, key, body, report)
    kind = _kind(name, key, body, report)
    if kind is None:
        return _of_no_kind(name, key, body, report, within)
    draft = Draft(name=name, kind=kind, node=key, explicit=True)
    _READERS[kind](draft, body, report)
    if kind == "chain" and within in ("tasks", "chain"):
        _note_lone_chain(draft, report)
    return draft


def _task(name: str, key: ScalarNode, body: MappingNode, report: Report) -> Draft:
    is_id = any(
        foreign_words.hint_for(word, foreign_words.OF_STEPS) in foreign_words.KINDS for word in body.entries
    )
    body = report.check_keys(body, f"in the step “{name}”", TASK_KEYS, ELSEWHERE, foreign_words.OF_STEPS)
    given = "task" in body.entries
    task = (_read_task(body, report) if given else "" if is_id else name) or ""
    draft = Draft(name=name, kind="task", task=task, explicit=given, node=key)
    read_common(draft, body, report)
    read_task_options(draft, body, report)
    return draft


def _read_task(body: MappingNode, report: Report) -> str | None:
    node = body.entries["task"].value
    if text_of(node):
        return read_text(body, "task", report)
    shown = "empty" if text_of(node) == "" else describe(node)
    message = f"`task` must be a task's name, and is {shown}"
    report.error(codes.VALUE, node, message, "write `task: NAME`, or take it out")
    return None


def _kind(name: str, key: ScalarNode, body: MappingNode, report: Report) -> Kind | None:
    node = body.get("type")
    kind = text_of(node)
    if kind in TYPES:
        return cast(Kind, kind)
    if node is not None:
        return _kind_meant(name, node, kind if kind is not None else describe(node), report)
    if "workflow" in body.entries:
        return "workflow"
    has = "`tasks` and no `type`" if "tasks" in body.entries else "an empty `type`"
    message = f"“{name}” has {has}"
    report.error(codes.STEP_TYPE, key, message, "add `type: group` or `type: chain`")
    return None


def _kind_meant(name: str, node: Node, shown: str, report: Report) -> Kind | None:
    """Report a type that is none; the kind that its hint names is the one that is read."""
    hint = foreign_words.hint_for(shown, foreign_words.TYPES)
    near = "" if hint else nearest(shown, TYPES)
    message = f"unknown type “{shown}” of “{name}”"
    report.error(codes.STEP_TYPE, node, message, hint or did_you_mean(shown, TYPES))
    return cast(Kind | None, foreign_words.CONTAINERS.get(hint) or near or None)


def _of_no_kind(name: str, key: ScalarNode, body: MappingNode, report: Report, within: Within) -> Draft:
    """What stands for a step whose kind is not known: it has its id and its place, and so have its members."""
    draft = Draft(name=name, kind="task", node=key, explicit=True)
    tasks = body.get("tasks")
    if isinstance(tasks, ListNode) and within not in ("map", "hook"):
        draft.kind = "group"
        draft.members = read_steps(tasks, report, "group")
        for member in walk(draft.members):
            # In a chain it would receive something else, so its call can't be judged.
            member.task = ""
    read_common(draft, body, report)
    return draft


def _container(draft: Draft, body: MappingNode, report: Report) -> None:
    kind = cast(Literal["group", "chain"], draft.kind)
    body = report.check_keys(
        body, f"in the {kind} “{draft.name}”", CONTAINER_KEYS, ELSEWHERE, foreign=foreign_words.OF_STEPS
    )
    read_common(draft, body, report)
    tasks = body.get("tasks")
    if isinstance(tasks, ListNode):
        draft.members = read_steps(tasks, report, kind)
        _note_size(draft, len(tasks.items), report)
    else:
        _no_list(draft, tasks, report)


def _no_list(draft: Draft, tasks: Node | None, report: Report) -> None:
    what = "has no `tasks`" if tasks is None else f"has {describe(tasks)} as `tasks`"
    message = f"the {draft.kind} “{draft.name}” {what}"
    report.error(codes.TASKS, tasks or draft.node, message, "`tasks` is a list of steps")


def _note_size(draft: Draft, size: int, report: Report) -> None:
    if draft.kind != "group" or size > 1:
        return
    if size:
        message = f"the group “{draft.name}” has one member: the next task gets a list of one result"
        hint = "celery-director passed the bare result; put the task in the list itself for that"
        report.note(codes.GROUP_OF_ONE, draft.node, message, hint)
    else:
        message = f"the group “{draft.name}” has no members: the next task gets an empty list"
        report.note(codes.EMPTY_GROUP, draft.node, message, "take it out if that is not meant")


def _note_lone_chain(draft: Draft, report: Report) -> None:
    if draft.is_conditional or draft.needs is not None or len(draft.members) < 2:
        return
    message = f"the members of the chain “{draft.name}” run in order, as they would without it"
    hint = "celery-director ran them in parallel; write `type: group` for that"
    report.note(codes.LONE_CHAIN, draft.node, message, hint)


def _map(draft: Draft, body: MappingNode, report: Report) -> None:
    body = report.check_keys(body, f"in the map “{draft.name}”", MAP_KEYS, ELSEWHERE, foreign_words.OF_MAPS)
    read_common(draft, body, report)
    draft.uses = uses = list(draft.uses)
    draft.own = {
        "over": read_expression(body, "over", report, uses),
        "max_parallel": read_whole(body, "max_parallel", 1, MAX_INT, report),
    }
    check_over(draft, body.get("over"), report)
    report = report.inside(known=IN_MAP)
    each = Draft(name=draft.name, kind="task", node=draft.node)
    read_task_options(each, body, report)
    _read_body(draft, each, body, report)


def _read_body(draft: Draft, each: Draft, body: MappingNode, report: Report) -> None:
    task, tasks = read_text(body, "task", report), body.get("tasks")
    if (body.get("task") is None) == (tasks is None):
        has = "neither `task` nor `tasks`" if tasks is None else "both `task` and `tasks`"
        message = f"the map “{draft.name}” has {has}"
        report.error(codes.INCOMPLETE, draft.node, message, "write `task: NAME`, or `tasks:` for several")
    elif isinstance(tasks, ListNode):
        read = read_steps(tasks, report, "map")
        draft.members = [member for member in read if is_for_map(draft, member, report)]
        share(each, draft.members)
        if not tasks.items:
            message = f"the map “{draft.name}” has no `tasks`"
            report.error(codes.INCOMPLETE, tasks, message, "name a Celery task")
    elif tasks is not None:
        _no_list(draft, tasks, report)
    elif task is not None:
        each.task = draft.task = task
        draft.members = [each]


_READERS: Final[Mapping[Kind, Callable[[Draft, MappingNode, Report], None]]] = {
    "group": _container,
    "chain": _container,
    "map": _map,
    "workflow": read_child,
    "approval": read_approval,
    "wait": read_wait,
}
