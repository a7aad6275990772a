"""Collects the problems of one file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from django_director.common.problems import Place, Problem
from django_director.common.suggestions import CERTAIN, did_you_mean, nearest

from . import codes
from .foreign_words import Words, hint_for, same_as
from .nodes import Entry, ListNode, MappingNode, Node, is_null, text_of
from .workflow_calls import Call

_OF_VALUES: Final = (codes.VALUE, codes.DURATION, codes.INTERVAL, codes.CRONTAB)
_REQUIRED: Final = ("tasks", "type", "task", "workflow", "over", "for", "until", "max")


@dataclass(slots=True)
class Budget:
    """What is counted for the file as a whole, so that aliases neither multiply the work nor repeat a problem."""

    characters: int = 0
    """How many characters its expressions have: with aliases one text may stand there very often."""
    hints: dict[tuple[str | int | None, ...], str] = field(default_factory=dict)
    """The hints for wrong keys of payloads: finding the nearest name costs a comparison with each."""
    noted: set[tuple[int, int]] = field(default_factory=set)
    """The places of texts that are nearly expressions, and of empty keys, that have been noted."""
    misread: set[tuple[int, int]] = field(default_factory=set)
    """The places of values that YAML reads otherwise than they look, which have been reported."""
    steps: dict[str | None, frozenset[str]] = field(default_factory=dict)
    """The names of the steps by workflow, once somebody has asked for them."""
    unread: set[tuple[str | None, str]] = field(default_factory=set)
    """Workflows and the names of their steps that could not be read, so that nothing else is said of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The problems found so far, and the workflow and step that is read now."""

    path: str
    problems: list[Problem] = field(default_factory=list)
    workflow: str | None = None
    step: str | None = None
    known: frozenset[str] = frozenset()
    """The names that expressions know there."""
    schema: Any = None
    """The schema of the workflow's payload."""
    budget: Budget = field(default_factory=Budget)
    tasks: Node | None = None
    """The steps of the workflow, as they stand in the file."""
    calls: list[Call] = field(default_factory=list)
    """Workflows that are steps of others, to be checked when all files are read."""

    def inside(
        self,
        *,
        workflow: str | None = None,
        step: str | None = None,
        known: frozenset[str] | None = None,
        schema: dict[str, Any] | bool | None = None,
        tasks: Node | None = None,
    ) -> Report:
        """Return a report of what is found in a workflow or step; it shares the problems. ``None`` changes
        nothing."""
        return replace(
            self,
            workflow=workflow or self.workflow,
            step=step or self.step,
            known=known or self.known,
            schema=self.schema if schema is None else schema,
            tasks=tasks or self.tasks,
        )

    def steps(self) -> frozenset[str]:
        """Return the names that the steps of the workflow have in the file; they are read at the first call."""
        found = self.budget.steps
        if self.workflow not in found:
            found[self.workflow] = frozenset(_step_names(self.tasks))
        return found[self.workflow]

    def place(self, node: Node | None) -> Place:
        if node is None:
            return Place(path=self.path)
        return Place(path=self.path, line=node.line, column=node.column)

    def error(self, code: str, node: Node | None, message: str, hint: str, *, about: str = "") -> None:
        self._add(code, node, message, hint, "error", about)

    def note(self, code: str, node: Node | None, message: str, hint: str, *, about: str = "") -> None:
        self._add(code, node, message, hint, "note", about)

    def mark_unread(self, *names: str) -> None:
        """Remember steps that could not be read, and whose mistakes have been reported."""
        self.budget.unread.update((self.workflow, name) for name in names)

    def is_unread(self, name: str) -> bool:
        return (self.workflow, name) in self.budget.unread

    def _add(self, code: str, node: Node | None, message: str, hint: str, level: str, about: str) -> None:
        if code in _OF_VALUES and node is not None and (node.line, node.column) in self.budget.misread:
            return
        self.problems.append(
            Problem(
                place=self.place(node),
                code=code,
                message=message,
                hint=hint,
                workflow=self.workflow,
                step=self.step,
                level=level,
                about=about,
            )
        )

    def _note_empty(self, mapping: MappingNode, known: Collection[str]) -> None:
        """Note keys without a value, once for all aliases; where a value is required, its reader reports it."""
        for name, entry in mapping.entries.items():
            place = entry.key.line, entry.key.column
            if name in known and name not in _REQUIRED and is_null(entry.value) and place not in self.budget.noted:
                self.budget.noted.add(place)
                what = "an expression" if name in ("when", "result") else "its value"
                message = f"`{name}` is empty, which is as if it were not there"
                self.note(codes.EMPTY_KEY, entry.key, message, f"write {what}, or take it out")

    def check_keys(
        self,
        mapping: MappingNode,
        where: str,
        known: Collection[str],
        elsewhere: Mapping[str, str] = MappingProxyType({}),
        foreign: Words = MappingProxyType({}),
    ) -> MappingNode:
        """Return the mapping without the keys that are not ``known``; report each of these.

        ``elsewhere`` has the hints for keys that belong to something else, ``foreign`` those for words of other
        engines. A key that is nearly a known one is read as that, so that nothing is reported that follows from
        it.
        """
        self._note_empty(mapping, known)
        unknown = [name for name in mapping.entries if name not in known]
        if not unknown:
            return mapping
        entries = {key: entry for key, entry in mapping.entries.items() if key in known}
        for name in unknown:
            if name.startswith("x-"):
                continue
            hint = elsewhere.get(name) or hint_for(name, foreign)
            self._unknown(mapping, name, where, hint or did_you_mean(name, known, listed=len(known)))
            meant = same_as(name, known) if hint else nearest(name, known, CERTAIN)
            if meant in known:
                entries.setdefault(meant, mapping.entries[name])
        return replace(mapping, entries=entries)

    def mend_keys(
        self, mapping: MappingNode, where: str, known: Collection[str], meant: Sequence[str]
    ) -> MappingNode:
        """Return the mapping with each unknown key that is nearly one of ``meant`` renamed to it and reported."""
        entries: dict[str, Entry] = {}
        for name, entry in mapping.entries.items():
            near = "" if name in known or name.startswith("x-") else nearest(name, meant, CERTAIN)
            if near and near not in mapping.entries and near not in entries:
                self._unknown(mapping, name, where, did_you_mean(name, meant))
            else:
                near = ""
            entries[near or name] = entry
        return replace(mapping, entries=entries)

    def _unknown(self, mapping: MappingNode, name: str, where: str, hint: str) -> None:
        self.error(codes.UNKNOWN_KEY, mapping.entries[name].key, f"unknown key `{name}` {where}", hint)


def _step_names(tasks: Node | None) -> Iterator[str]:
    for item in tasks.items if isinstance(tasks, ListNode) else ():
        if (name := text_of(item)) is not None:
            yield name
        elif isinstance(item, MappingNode):
            for name, entry in item.entries.items():
                yield name
                if isinstance(entry.value, MappingNode):
                    yield from _step_names(entry.value.get("tasks"))
