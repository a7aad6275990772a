"""Reads one workflow of a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from django_director.definitions.definition import Definition
from django_director.definitions.fields.drafts import Draft, walk
from django_director.definitions.fields.options import RUNNING_KEYS
from django_director.definitions.fields.plain_values import NAME_LENGTH, read_text
from django_director.definitions.source import codes, foreign_words
from django_director.definitions.source.nodes import Entry, ListNode, MappingNode, Node, describe
from django_director.definitions.source.report import Report

from .freeze import Freezer
from .hook_steps import check_hooks, read_hooks
from .order import check_order
from .payload_schema import read_schema
from .policies import read_defaults, read_policies
from .queue_rules import read_queues
from .schedules import read_periodic, read_retention
from .step_ids import name_steps
from .step_names import Names
from .steps import read_steps

NAME: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
KEYS: Final = (
    *("description", "tasks", "hooks", "queue", "schema", "periodic", "retention"),
    *("defaults", "timeout", "concurrency", "fail_fast", "result", "allowed_groups"),
)

_ELSEWHERE: Final = {
    key: f"for all its tasks write `defaults: {{{key}: 3}}`" for key in RUNNING_KEYS if key not in KEYS
}


_VARIABLES: Final = {
    word: hint for word, hint in foreign_words.OF_WORKFLOWS.items() if hint == foreign_words.OF_WORKFLOWS["env"]
}


def read_workflow(entry: Entry, source: str, folder: Path, report: Report) -> Definition | None:
    """Return the definition, as far as it can be understood; ``None`` when it can't be understood at all.

    ``folder`` is where the file is. Mistakes are in the report: what is returned may be stored only when the
    report is empty.
    """
    name = entry.key.text
    report = report.inside(workflow=name)
    if _is_wrapper(entry):
        message = f"“{name}” is no name of a workflow"
        report.error(codes.WORKFLOW_NAME, entry.key, message, _wrapper_hint(name))
        return None
    is_named = _check_name(name, entry.key, report)
    if not isinstance(entry.value, MappingNode):
        if not is_named:
            return None
        message = f"the workflow must be a mapping, and is {describe(entry.value)}"
        report.error(codes.WORKFLOW_FORM, entry.value, message, f"write `tasks:` indented under `{name}:`")
        return None
    return _read_body(name, entry, entry.value, source, folder, report)


def _is_wrapper(entry: Entry) -> bool:
    """Return whether a key at the top wraps workflows, as in other engines, or stands for something else there."""
    if (
        NAME.fullmatch(entry.key.text)
        or entry.key.text in KEYS
        or not isinstance(entry.value, MappingNode | ListNode)
    ):
        return False
    holds = isinstance(entry.value, MappingNode) and any(NAME.fullmatch(name) for name in entry.value.entries)
    return holds or foreign_words.plain_word(entry.key.text) in foreign_words.AROUND


def _wrapper_hint(name: str) -> str:
    variables = f"; {foreign_words.OF_WORKFLOWS['env']}" if foreign_words.hint_for(name, _VARIABLES) else ""
    return f"workflows stand at the top, as `project.NAME:`, with nothing around them{variables}"


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
    body = report.check_keys(body, "in the workflow", KEYS, _ELSEWHERE, foreign_words.OF_WORKFLOWS)
    schema = read_schema(body.get("schema"), folder, report)
    report = report.inside(schema=schema, tasks=body.get("tasks"))
    drafts = _read_tasks(entry.key, body, report)
    hooks = read_hooks(body.get("hooks"), report)
    every_hook = [draft for hook in hooks.values() for draft in hook]
    name_steps(drafts, [hook.id for hook in every_hook], report)
    names = Names(drafts)
    check_order(drafts, names, report)
    check_hooks(hooks, names, report)
    queues = read_queues(body.get("queue"), report)
    queues.note_unused([*_with_queue(drafts), *every_hook], report)
    freezer = Freezer(queues, read_defaults(body.get("defaults"), report), report)
    return Definition(
        name=name,
        description=read_text(body, "description", report, is_long=True) or "",
        tasks=freezer.steps(drafts),
        hooks={outcome: freezer.tasks(hook) for outcome, hook in hooks.items()},
        schema=schema,
        schedules=read_periodic(body.get("periodic"), schema, report),
        retention=read_retention(body.get("retention"), report),
        source=source,
        place=report.place(entry.key),
        **read_policies(body, names, report),
    )


def _read_tasks(key: Node, body: MappingNode, report: Report) -> list[Draft]:
    node = body.get("tasks")
    if isinstance(node, ListNode):
        if not node.items:
            message = "the workflow has no steps: its runs end at once"
            report.note(codes.EMPTY_WORKFLOW, node, message, "name a Celery task: `tasks: [FETCH]`")
        return read_steps(node, report)
    what = "has no `tasks`" if node is None else f"has {describe(node)} as `tasks`"
    report.error(codes.TASKS, node or key, f"the workflow {what}", "`tasks` is a list of steps: `tasks: [FETCH]`")
    return []


def _with_queue(drafts: list[Draft]) -> list[Draft]:
    return [draft for draft in walk(drafts) if not draft.is_container or draft.is_conditional]
