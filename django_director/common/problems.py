"""A problem in a workflow file, with its place and the way out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands in a file; ``line`` and ``column`` count from 1."""

    path: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong, where, and what to do: ``path:line:column: CODE message (hint)``.

    ``level`` is ``error`` (nothing is stored while there is one) or ``note``; a note's text says so.
    """

    place: Place
    code: str
    message: str
    hint: str = ""
    workflow: str | None = None
    step: str | None = None
    level: str = "error"
    about: str = ""
    """The name that a step would have if it were right: what is said of it elsewhere is no problem of its own."""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        mark = "note: " if self.level == "note" else ""
        return f"{self.place}: {self.code} {mark}{self.message}{hint}"

    def as_json(self) -> dict[str, str | int | None]:
        """The object of ``checkworkflows --json``."""
        return {
            "path": self.place.path,
            "line": self.place.line,
            "column": self.place.column,
            "code": self.code,
            "message": self.message,
            "hint": self.hint or None,
            "workflow": self.workflow,
            "step": self.step,
            "level": self.level,
        }
