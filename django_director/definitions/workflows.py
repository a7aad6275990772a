"""One workflow of a file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from . import codes
from .drafts import NAME_LENGTH, Draft, read_step, read_steps, read_text
from .hints import MAX_HINTS, nearest
from .model import Definition
from .naming import HOOKS, freeze, freeze_task, hook_id, name_steps
from .periodic import read_periodic, read_retention
from .report import Report
from .schemas import read_schema
from .tree import Entry, ListNode, MappingNode, Node, describe, text_of

NAME: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
KEYS: Final = ("description", "tasks", "hooks", "queue", "schema", "periodic", "retention")
LATER_KEYS: Final = ("defaults", "timeout", "concurrency", "fail_fast", "result", "allowed_groups")
LATER_HOOKS: Final = ("canceled", "always")


def read_workflow(entry: Entry, source: str, folder: Path, report: Report) -> Definition | None:
    """The definition, as far as it can be understood; ``None`` when it can't at all.

    ``folder`` is where the file is. What is wrong is in the report, so what is returned may be stored only
    when the report is empty.
    """
    name = entry.key.text
    report = report.inside(workflow=name)
    is_named = _check_name(name, entry.key, report)
    if not isinstance(entry.value, MappingNode):
        if not is_named:
            return None
        message = f"the workflow must be a mapping, and is {describe(entry.value)}"
        report.error(codes.WORKFLOW_FORM, entry.value, message, f"write `tasks:` indented under `{name}:`")
        return None
    return _read_body(name, entry, entry.value, source, folder, report)


def _check_name(name: str, key: Node, report: Report) -> bool:
    if name in KEYS:
        message = f"`{name}` stands outside of a workflow"
        report.error(codes.WORKFLOW_NAME, key, message, f"indent `{name}:` under the workflow's name")
        return False
    if not NAME.fullmatch(name):
        message = f"“{name}” is no name of a workflow"
        report.error(codes.WORKFLOW_NAME, key, message, "write `project.NAME`: one dot; letters, digits, `_`, `-`")
        return False
    if len(name) > NAME_LENGTH:
        message = f"the workflow's name has more than {NAME_LENGTH} characters"
        report.error(codes.TOO_LONG, key, message, "shorten it")
    return True


def _read_body(
    name: str, entry: Entry, body: MappingNode, source: str, folder: Path, report: Report
) -> Definition:
    report.check_keys(body, "in the workflow", KEYS, LATER_KEYS)
    drafts = _read_tasks(entry.key, body, report)
    name_steps(drafts, report)
    hooks = _read_hooks(body.get("hooks"), report)
    queues = _read_queues(body.get("queue"), report)
    queues.note_unused([*_tasks_of(drafts), *hooks.values()], report)
    schema = read_schema(body.get("schema"), folder, report)
    return Definition(
        name=name,
        description=read_text(body, "description", report) or "",
        tasks=tuple(freeze(draft, queues.of, report) for draft in drafts),
        hooks={outcome: freeze_task(draft, queues.of, report) for outcome, draft in hooks.items()},
        schema=schema,
        schedules=read_periodic(body.get("periodic"), schema, report),
        retention=read_retention(body.get("retention"), report),
        source=source,
        place=report.place(entry.key),
    )


def _read_tasks(key: Node, body: MappingNode, report: Report) -> list[Draft]:
    node = body.get("tasks")
    if isinstance(node, ListNode):
        return read_steps(node, report)
    what = "has no `tasks`" if node is None else f"has {describe(node)} as `tasks`"
    report.error(codes.TASKS, node or key, f"the workflow {what}", "`tasks` is a list of steps: `tasks: [FETCH]`")
    return []


def _tasks_of(drafts: list[Draft]) -> list[Draft]:
    found = []
    for draft in drafts:
        found += [draft] if draft.kind == "task" else _tasks_of(draft.members)
    return found


def _read_hooks(node: Node | None, report: Report) -> dict[str, Draft]:
    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        message = f"`hooks` must be a mapping, and is {describe(node)}"
        report.error(codes.VALUE, node, message, "write `hooks: {failure: TASK}`")
        return {}
    report.check_keys(node, "in `hooks`", HOOKS, LATER_HOOKS)
    drafts = {outcome: _read_hook(outcome, node.get(outcome), report) for outcome in HOOKS}
    return {outcome: draft for outcome, draft in drafts.items() if draft is not None}


def _read_hook(outcome: str, node: Node | None, report: Report) -> Draft | None:
    report = report.inside(step=hook_id(outcome))
    if node is None:
        return None
    if isinstance(node, ListNode):
        report.not_yet(node, f"a list of tasks as `hooks.{outcome}`")
        return None
    draft = read_step(node, report)
    if draft is not None and draft.kind != "task":
        message = f"`hooks.{outcome}` must be one task, and is a {draft.kind}"
        report.error(codes.HOOK, node, message, f"write `{outcome}: TASK`")
        return None
    if draft is not None:
        draft.id = hook_id(outcome)
    return draft


@dataclass(slots=True, kw_only=True)
class _Queues:
    """`queue:` of a workflow; a step's own queue comes first, customs by id and then by task."""

    default: str | None = None
    customs: dict[str, str] = field(default_factory=dict)
    keys: dict[str, Node] = field(default_factory=dict)

    def of(self, draft: Draft) -> str | None:
        by_name = self.customs.get(draft.id) or self.customs.get(draft.task)
        return draft.queue or by_name or self.default

    def note_unused(self, tasks: list[Draft], report: Report) -> None:
        names = {name for draft in tasks for name in (draft.id, draft.task)}
        for number, (name, key) in enumerate(self.keys.items()):
            if name not in names:
                near = nearest(name, names) if number < MAX_HINTS else None
                hint = f"did you mean “{near}”?" if near else "take it out if that is meant"
                message = f"`queue.customs` names “{name}”, which is no step or task of the workflow"
                report.note(codes.UNUSED_QUEUE, key, message, hint)


def _read_queues(node: Node | None, report: Report) -> _Queues:
    if node is None:
        return _Queues()
    if isinstance(node, MappingNode):
        report.check_keys(node, "in `queue`", ("default", "customs"))
        queues = _Queues(default=read_text(node, "default", report))
        _read_customs(node.get("customs"), queues, report)
        return queues
    if (name := text_of(node)) and len(name) <= NAME_LENGTH:
        return _Queues(default=name)
    message = f"`queue` must be a queue's name or a mapping, and is {describe(node)}"
    report.error(codes.VALUE, node, message, "write `queue: slow` or `queue: {default: slow}`")
    return _Queues()


def _read_customs(node: Node | None, queues: _Queues, report: Report) -> None:
    if node is None:
        return
    if not isinstance(node, MappingNode):
        message = f"`customs` must be a mapping, and is {describe(node)}"
        report.error(codes.VALUE, node, message, "write `customs: {TASK: queue}`")
        return
    for name, entry in node.entries.items():
        queue = read_text(node, name, report)
        if queue is not None:
            queues.customs[name] = queue
            queues.keys[name] = entry.key
