"""Reads steps as a file writes them: a name alone, or a name with options, which the step's kind reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from django_director.common.suggestions import did_you_mean, nearest
from django_director.definitions.fields.drafts import Draft, Within, walk
from django_director.definitions.fields.options import COMMON_KEYS, TASK_KEYS, read_common
from django_director.definitions.kinds import KINDS, Kind
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

from .malformed_steps import OPTIONS, read_many_keys, read_without_options

TYPES: Final = tuple(kind.name for kind in KINDS.values() if kind.marker == "type")
"""The values that `type` may have."""
_MARKED: Final = tuple(kind for kind in KINDS.values() if kind.marker not in ("type", "task"))
"""The kinds that have a key of their own in place of a `type`."""
_DECIDING: Final = ("type", "tasks", "task", *(kind.marker for kind in _MARKED))
"""The keys that say of what kind a step is."""

ELSEWHERE: Final[Mapping[str, str]] = {
    key: f"`{key}` belongs to a step with `{f'type: {kind.name}' if kind.marker == 'type' else f'{kind.marker}:'}`"
    for kind in KINDS.values()
    for key in kind.keys
    if key not in (*_DECIDING, *COMMON_KEYS, *TASK_KEYS)
} | {"batch": "`batch` belongs to a step with `type: map` or `type: group`, whose tasks then share messages"}
"""Hints for keys of other kinds of steps, for a file that forgets the `type`."""


def read_steps(node: ListNode, report: Report, within: Within = "tasks") -> list[Draft]:
    """Return the steps of a list; steps that can't be understood are reported and left out."""
    drafts = (read_step(item, report, within) for item in node.items)
    return [draft for draft in drafts if draft is not None]


def read_step(node: Node, report: Report, within: Within = "tasks") -> Draft | None:
    """Return one step; ``None`` when it can't be understood."""
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
    kind = _kind(name, key, body, report)
    if kind is None:
        return _of_no_kind(name, key, body, report, within)
    draft = Draft(name=name, kind=kind.name, node=key, explicit=True)
    if kind.name == "task" and not _says_what_it_does(body):
        draft.task = name
    where = f"in the {kind.title or kind.name} “{name}”"
    body = report.check_keys(body, where, kind.keys, ELSEWHERE, kind.foreign_words)
    read_common(draft, body, report)
    kind.read(draft, body, report, read_steps)
    if kind.name == "chain" and within in ("tasks", "chain"):
        _note_lone_chain(draft, report)
    return draft


def _says_what_it_does(body: MappingNode) -> bool:
    """Return whether a word of another engine says what the step does: then its name is an id, and no task."""
    hints = (foreign_words.hint_for(word, foreign_words.OF_STEPS) for word in body.entries)
    return any(hint in foreign_words.KINDS for hint in hints)


def _kind(name: str, key: ScalarNode, body: MappingNode, report: Report) -> Kind[Any] | None:
    """Return the kind of a step; ``None`` when it is not clear, which is reported."""
    marked = next((kind for kind in _MARKED if kind.marker in body.entries), None)
    if marked is None and "type" not in body.entries and "tasks" not in body.entries:
        return KINDS["task"]
    node = body.get("type")
    if node is not None:
        return _kind_of_type(name, node, report)
    if marked is not None:
        return marked
    has = "`tasks` and no `type`" if "tasks" in body.entries else "an empty `type`"
    message = f"“{name}” has {has}"
    report.error(codes.STEP_TYPE, key, message, "add `type: group` or `type: chain`")
    return None


def _kind_of_type(name: str, node: Node, report: Report) -> Kind[Any] | None:
    """Return the kind that `type` names. An unknown one is reported, and read as the one that its hint names."""
    given = text_of(node)
    if given in TYPES:
        return KINDS[given]
    shown = describe(node) if given is None else given
    hint = foreign_words.hint_for(shown, foreign_words.TYPES)
    near = "" if hint else nearest(shown, TYPES)
    message = f"unknown type “{shown}” of “{name}”"
    report.error(codes.STEP_TYPE, node, message, hint or did_you_mean(shown, TYPES))
    return KINDS.get(foreign_words.CONTAINERS.get(hint) or near or "")


def _of_no_kind(name: str, key: ScalarNode, body: MappingNode, report: Report, within: Within) -> Draft:
    """Return a step in place of one whose kind is not known: it has the id, the place and the members."""
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


def _note_lone_chain(draft: Draft, report: Report) -> None:
    if draft.is_conditional or draft.needs is not None or len(draft.members) < 2:
        return
    message = f"the members of the chain “{draft.name}” run in order, as they would without it"
    hint = "celery-director ran them in parallel; write `type: group` for that"
    report.note(codes.LONE_CHAIN, draft.node, message, hint)
