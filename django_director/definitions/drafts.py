"""Steps as they stand in the file, before ids are given out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from . import codes
from .hints import did_you_mean
from .loading import QUOTES, not_text
from .report import Report
from .tree import Entry, ListNode, MappingNode, Node, ScalarNode, describe, is_null, plain, text_of

CONTAINERS: Final = ("group", "chain")
LATER_TYPES: Final = ("map", "approval", "wait")
TASK_KEYS: Final = ("task", "queue", "with", "description")
CONTAINER_KEYS: Final = ("type", "tasks", "description")
LATER_COMMON: Final = ("needs", "when", "trigger_rule")
LATER_TASK_KEYS: Final = (
    *LATER_COMMON,
    *("continue_on_error", "retry", "timeout", "priority", "over", "max_parallel"),
    *("workflow", "payload", "prompt", "permission", "on_timeout", "for", "until"),
)
NAME_LENGTH: Final = 200
"""The room for names and ids in the database."""

Kind = Literal["task", "group", "chain"]


@dataclass(slots=True, kw_only=True)
class Draft:
    """A step without its id."""

    name: str
    kind: Kind
    node: Node
    task: str = ""
    """The Celery task; '' for containers."""
    explicit: bool = False
    """The name is an id of its own."""
    queue: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    members: list[Draft] = field(default_factory=list)
    id: str = ""


def read_steps(node: ListNode, report: Report) -> list[Draft]:
    """The steps of a list; those that can't be understood are left out and reported."""
    drafts = (read_step(item, report) for item in node.items)
    return [draft for draft in drafts if draft is not None]


def read_step(node: Node, report: Report) -> Draft | None:
    """One step, or ``None`` when it can't be understood."""
    if isinstance(node, MappingNode):
        return _read_mapping(node, report)
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


def _read_mapping(node: MappingNode, report: Report) -> Draft | None:
    entries = list(node.entries.values())
    if len(entries) != 1:
        report.error(codes.STEP_KEYS, node, *_wrong_keys(entries))
        return None
    key, body = entries[0].key, entries[0].value
    name = key.text
    report = report.inside(step=name)
    if is_null(body):
        return Draft(name=name, kind="task", task=name, node=key)
    if not isinstance(body, MappingNode):
        report.error(
            codes.STEP_OPTIONS,
            body,
            f"the options of “{name}” must be a mapping, not {describe(body)}",
            f"write `{name}: {{queue: slow}}`, or the options on lines of their own under `{name}:`",
        )
        return None
    return _with_options(name, key, body, report)


def _wrong_keys(entries: list[Entry]) -> tuple[str, str]:
    if not entries:
        return "the step is an empty mapping", "write the task's name after the dash"
    names = [entry.key.text for entry in entries]
    listed = ", ".join(f"`{name}`" for name in names)
    message = f"the step has {len(names)} keys, {listed}, and must have one"
    if is_null(entries[0].value):
        inner = "type" if "type" in names[1:] else names[1]
        return message, f"indent `{inner}:` under `{names[0]}:`"
    return message, "begin each step with a dash of its own"


def _with_options(name: str, key: ScalarNode, body: MappingNode, report: Report) -> Draft | None:
    if "type" in body.entries or "tasks" in body.entries:
        kind = _container_kind(name, key, body, report)
        return None if kind is None else _container(name, kind, key, body, report)
    report.check_keys(body, f"in the step “{name}”", TASK_KEYS, LATER_TASK_KEYS)
    if "workflow" in body.entries:
        return None
    task = read_text(body, "task", report)
    return Draft(
        name=name,
        kind="task",
        task=task or name,
        explicit=task is not None,
        node=key,
        queue=read_text(body, "queue", report),
        kwargs=_read_with(body, report),
        description=read_text(body, "description", report) or "",
    )


def _container_kind(name: str, key: ScalarNode, body: MappingNode, report: Report) -> Kind | None:
    node = body.get("type")
    kind = text_of(node)
    if kind in CONTAINERS:
        return cast(Kind, kind)
    if kind in LATER_TYPES:
        report.not_yet(node, f"`type: {kind}`")
    elif node is None:
        report.error(
            codes.STEP_TYPE, key, f"“{name}” has `tasks` and no `type`", "add `type: group` or `type: chain`"
        )
    else:
        shown = kind if kind is not None else describe(node)
        report.error(codes.STEP_TYPE, node, f"unknown type “{shown}” of “{name}”", did_you_mean(shown, CONTAINERS))
    return None


def _container(name: str, kind: Kind, key: ScalarNode, body: MappingNode, report: Report) -> Draft:
    report.check_keys(body, f"in the {kind} “{name}”", CONTAINER_KEYS, LATER_COMMON)
    draft = Draft(name=name, kind=kind, node=key, explicit=True)
    draft.description = read_text(body, "description", report) or ""
    tasks = body.get("tasks")
    if isinstance(tasks, ListNode):
        draft.members = read_steps(tasks, report)
        _note_size(draft, len(tasks.items), report)
    else:
        what = "has no `tasks`" if tasks is None else f"has {describe(tasks)} as `tasks`"
        report.error(codes.TASKS, tasks or key, f"the {kind} “{name}” {what}", "`tasks` is a list of steps")
    return draft


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


def read_text(mapping: MappingNode, key: str, report: Report) -> str | None:
    """The text of a key; ``None`` when it is missing, null, or wrong and reported."""
    node = mapping.get(key)
    if node is None:
        return None
    text = text_of(node)
    if not text:
        shown = "empty" if text == "" else describe(node)
        report.error(codes.VALUE, node, f"`{key}` must be text, and is {shown}", QUOTES if text is None else "")
        return None
    if key != "description" and len(text) > NAME_LENGTH:
        report.error(codes.TOO_LONG, node, f"`{key}` has more than {NAME_LENGTH} characters", "shorten it")
        return None
    return text


def _read_with(body: MappingNode, report: Report) -> dict[str, Any]:
    node = body.get("with")
    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        report.error(
            codes.VALUE,
            node,
            f"`with` must be a mapping of arguments, and is {describe(node)}",
            "write `with: {name: value}`",
        )
        return {}
    _refuse_expressions(node, report)
    kwargs: dict[str, Any] = plain(node)
    return kwargs


def _refuse_expressions(node: Node, report: Report) -> None:
    if isinstance(node, MappingNode):
        for entry in node.entries.values():
            _refuse_expressions(entry.value, report)
    elif isinstance(node, ListNode):
        for item in node.items:
            _refuse_expressions(item, report)
    elif "${{" in (text_of(node) or ""):
        report.not_yet(node, "an expression `${{ … }}` in `with`")
