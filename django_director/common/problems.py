"""A problem in a workflow file: what is wrong, at which place, and a hint how to correct it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a file; ``line`` and ``column`` count from 1."""

    path: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem; as text it is ``path:line:column: CODE message (hint)``.

    ``level`` is ``error`` or ``note``. While a project has an error none of its workflows is stored. The text of a
    note begins with ``note:``.
    """

    place: Place
    code: str
    message: str
    hint: str = ""
    workflow: str | None = None
    step: str | None = None
    level: str = "error"
    about: str = ""
    """The name that a faulty step would have if it were right.

    When other steps name it they are not reported as well: correcting this step corrects them.
    """

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        mark = "note: " if self.level == "note" else ""
        return f"{self.place}: {self.code} {mark}{self.message}{hint}"

    def as_json(self) -> dict[str, str | int | None]:
        """Return the problem as the JSON object that ``checkworkflows --json`` prints."""
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
