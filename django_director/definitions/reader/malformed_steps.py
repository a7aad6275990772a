"""Reads steps whose form is wrong, as far as it is clear what is meant, and reports them.

They are read so that the step behind does not become the first one, and so that `needs` of others still find them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from django_director.definitions.fields.drafts import Draft
from django_director.definitions.kinds import KINDS
from django_director.definitions.source import codes
from django_director.definitions.source.nodes import (
    Entry,
    MappingNode,
    Node,
    ScalarNode,
    describe,
    is_null,
    text_of,
)
from django_director.definitions.source.report import Report

OPTIONS: Final = frozenset(key for kind in KINDS.values() for key in kind.keys)
"""The keys of all kinds of steps."""

_OWNERS: Final = frozenset(kind.marker for kind in KINDS.values())
"""The keys that tell one kind from the others: `task`, `type`, `workflow`."""
_NAMES: Final = ("name", "id")
"""The keys at which other languages have the id of a step."""
_NAME: Final = re.compile(r"[\w.-]{1,80}")

Read = Callable[[ScalarNode, MappingNode], Draft]
"""Reads a step from its key and its options."""


def read_without_options(key: ScalarNode, body: Node, report: Report) -> Draft:
    """Read `- NAME: text`, and report it."""
    name, text = key.text, text_of(body) or ""
    message = f"the options of “{name}” must be a mapping, not {describe(body)}"
    report.error(codes.STEP_OPTIONS, body, message, _options_hint(name, text))
    if name in (*_NAMES, "task") and text:
        return Draft(name=text, kind="task", task=text, node=body)
    report.mark_unread(text)
    return Draft(name=name, kind="task", node=key)


def _options_hint(name: str, text: str) -> str:
    is_name = _NAME.fullmatch(text) is not None
    if name in _NAMES and is_name:
        return f"write the name of the task alone: `- {text}`"
    if name in _OWNERS:
        return f"write `- ID: {{{name}: {text if is_name else '…'}}}`"
    options = f"task: {text}" if is_name else "queue: slow"
    return f"write `{name}: {{{options}}}`, or the options on lines of their own under `{name}:`"


def read_many_keys(node: MappingNode, report: Report, read: Read) -> Draft | None:
    """Read a step with several keys, or none, and report it; return ``None`` when it can't be understood."""
    entries = list(node.entries.values())
    if not entries:
        report.error(codes.STEP_KEYS, node, "the step is an empty mapping", "write the task's name after the dash")
        return None
    names = [entry.key.text for entry in entries]
    listed = ", ".join(f"`{name}`" for name in names)
    message = f"the step has {len(names)} keys, {listed}, and must have one"
    hint, key = _meant(entries)
    report.error(codes.STEP_KEYS, node, message, hint)
    report.mark_unread(*names)
    if key is None:
        return None
    rest = {name: entry for name, entry in node.entries.items() if key not in (entry.key, entry.value)}
    return read(key, replace(node, entries=rest))


def _meant(entries: list[Entry]) -> tuple[str, ScalarNode | None]:
    """Return the hint, and where the name of the step stands if that is clear."""
    names = [entry.key.text for entry in entries]
    first = entries[0]
    if is_null(first.value):
        inner = "type" if "type" in names[1:] else names[1]
        return f"indent `{inner}:` under `{first.key.text}:`", first.key
    named = next((entry.value for entry in entries if entry.key.text in _NAMES), None)
    if isinstance(named, ScalarNode) and _NAME.fullmatch(text_of(named) or ""):
        others = "task: NAME, …" if "task" not in names else "task: …"
        return f"the name is the key: write `- {named.text}: {{{others}}}`", named
    owner = next((entry for entry in entries if entry.key.text in _OWNERS), None)
    if owner is not None and OPTIONS.issuperset(names):
        value = text_of(owner.value) or ""
        shown = value if _NAME.fullmatch(value) else "…"
        is_task = owner.key.text == "task" and isinstance(owner.value, ScalarNode) and value
        hint = f"write `- ID: {{{owner.key.text}: {shown}, …}}`"
        return hint, owner.value if is_task and isinstance(owner.value, ScalarNode) else None
    return "begin each step with a dash of its own", None
