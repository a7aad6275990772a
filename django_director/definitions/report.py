"""Collects the problems of one file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from . import codes
from .hints import did_you_mean
from .problems import Place, Problem
from .tree import MappingNode, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The problems found so far, and where in the file's meaning the reader is."""

    path: str
    problems: list[Problem] = field(default_factory=list)
    workflow: str | None = None
    step: str | None = None

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

    def check_keys(
        self, mapping: MappingNode, where: str, known: Collection[str], later: Collection[str] = ()
    ) -> None:
        """Report each key that is not known; ``later`` are those of releases to come."""
        for name, entry in mapping.entries.items():
            if name in known or name.startswith("x-"):
                continue
            if name in later:
                self.not_yet(entry.key, f"`{name}` {where}")
            else:
                self.error(
                    codes.UNKNOWN_KEY, entry.key, f"unknown key `{name}` {where}", did_you_mean(name, known)
                )

    def not_yet(self, node: Node | None, what: str) -> None:
        self.error(codes.NOT_YET, node, f"{what} is not supported by this release yet", "take it out")
