"""Collects the problems of one file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from django_director.hints import did_you_mean

from . import codes
from .features import NOT_YET
from .problems import Place, Problem
from .tree import Entry, MappingNode, Node

if TYPE_CHECKING:
    from .children import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A key that belongs to something else: the word of its feature, and the hint."""

    feature: str
    hint: str


@dataclass(slots=True)
class Budget:
    """What has been spent on the expressions of a file: with aliases one text may stand there very often."""

    characters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The problems found so far, and where in the file's meaning the reader is."""

    path: str
    problems: list[Problem] = field(default_factory=list)
    workflow: str | None = None
    step: str | None = None
    unsupported: Collection[str] = NOT_YET
    """The words of ``features`` that are reported in place of being read."""
    budget: Budget = field(default_factory=Budget)
    calls: list[Call] = field(default_factory=list)
    """Workflows as steps of others, to be checked when all files are read."""

    def inside(self, *, workflow: str | None = None, step: str | None = None) -> Report:
        """The same report, for what is found inside a workflow or step."""
        return replace(self, workflow=workflow or self.workflow, step=step or self.step)

    def place(self, node: Node | None) -> Place:
        if node is None:
            return Place(path=self.path)
        return Place(path=self.path, line=node.line, column=node.column)

    def error(self, code: str, node: Node | None, message: str, hint: str = "") -> None:
        self._add(code, node, message, hint, "error")

    def note(self, code: str, node: Node | None, message: str, hint: str = "") -> None:
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

    def can(self, feature: str) -> bool:
        """Whether the engine supports what a word of ``features`` stands for."""
        return feature not in self.unsupported

    def check_keys(
        self,
        mapping: MappingNode,
        where: str,
        known: Collection[str],
        place: str = "",
        elsewhere: Mapping[str, Elsewhere] = MappingProxyType({}),
    ) -> MappingNode:
        """The mapping without the keys that can't be used; each of these is reported.

        ``place`` is that of ``features``; ``elsewhere`` has keys that belong to something else.
        """
        kept = {}
        for name, entry in mapping.entries.items():
            if name in known:
                if self.can(f"{place}.{name}"):
                    kept[name] = entry
                else:
                    self.not_yet(entry.key, f"`{name}` {where}")
            elif not name.startswith("x-"):
                self._unknown_key(entry, where, known, place, elsewhere.get(name))
        return mapping if len(kept) == len(mapping.entries) else replace(mapping, entries=kept)

    def _unknown_key(
        self, entry: Entry, where: str, known: Collection[str], place: str, other: Elsewhere | None
    ) -> None:
        name = entry.key.text
        if other is not None and not self.can(other.feature):
            self.not_yet(entry.key, f"`{name}` {where}")
            return
        usable = [key for key in known if self.can(f"{place}.{key}")]
        hint = did_you_mean(name, usable) if other is None else other.hint
        self.error(codes.UNKNOWN_KEY, entry.key, f"unknown key `{name}` {where}", hint)

    def not_yet(self, node: Node | None, what: str) -> None:
        self.error(codes.NOT_YET, node, f"{what} is not supported by this release yet", "take it out")
