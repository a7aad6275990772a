"""Collects the problems of one file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from django_director.hints import did_you_mean

from . import codes
from .problems import Place, Problem
from .scopes import IN_STEP
from .tree import MappingNode, Node, is_null

if TYPE_CHECKING:
    from .children import Call

_REQUIRED: Final = ("tasks", "type", "task", "workflow", "over", "for", "until", "max")


@dataclass(slots=True)
class Budget:
    """What must not grow with each alias, or be told twice: it is kept for the file as a whole."""

    characters: int = 0
    """Of expressions: with aliases one text may stand there very often."""
    hints: dict[tuple[str | int | None, ...], str] = field(default_factory=dict)
    """Of wrong keys of payloads: the nearest name costs a comparison with each."""
    noted: set[tuple[int, int]] = field(default_factory=set)
    """Where a text that is nearly an expression, or an empty key, has been noted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The problems found so far, and where in the file's meaning the reader is."""

    path: str
    problems: list[Problem] = field(default_factory=list)
    workflow: str | None = None
    step: str | None = None
    known: frozenset[str] = IN_STEP
    """What expressions know there."""
    schema: Any = None
    """Of the workflow's payload."""
    budget: Budget = field(default_factory=Budget)
    calls: list[Call] = field(default_factory=list)
    """Workflows as steps of others, to be checked when all files are read."""

    def inside(
        self,
        *,
        workflow: str | None = None,
        step: str | None = None,
        known: frozenset[str] | None = None,
        schema: Any = None,
    ) -> Report:
        """The same report, for what is found inside a workflow or step; ``None`` leaves a field as it is."""
        return replace(
            self,
            workflow=workflow or self.workflow,
            step=step or self.step,
            known=known or self.known,
            schema=self.schema if schema is None else schema,
        )

    def place(self, node: Node | None) -> Place:
        if node is None:
            return Place(path=self.path)
        return Place(path=self.path, line=node.line, column=node.column)

    def error(self, code: str, node: Node | None, message: str, hint: str) -> None:
        self._add(code, node, message, hint, "error")

    def note(self, code: str, node: Node | None, message: str, hint: str) -> None:
        self._add(code, node, message, hint, "note")

    def _add(self, code: str, node: Node | None, message: str, hint: str, level: str) -> None:
        self.problems.append(
            Problem(
                place=self.place(node),
                code=code,
                message=message,
                hint=hint,
                workflow=self.workflow,
                step=self.step,
                level=level,
            )
        )

    def _note_empty(self, mapping: MappingNode, known: Collection[str]) -> None:
        """Note keys without a value, once for all aliases; where a value is required its reader says so."""
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
    ) -> MappingNode:
        """The mapping without the keys that are not ``known``; each of these is reported.

        ``elsewhere`` has the hints for keys that belong to something else.
        """
        unknown = [name for name in mapping.entries if name not in known]
        for name in unknown:
            if not name.startswith("x-"):
                hint = elsewhere.get(name) or did_you_mean(name, known, listed=len(known))
                self.error(codes.UNKNOWN_KEY, mapping.entries[name].key, f"unknown key `{name}` {where}", hint)
        self._note_empty(mapping, known)
        if not unknown:
            return mapping
        return replace(mapping, entries={key: mapping.entries[key] for key in mapping.entries if key in known})
