"""The errors of django-director.

Each error that a user can cause is a ``DirectorError``, and its text says what to do. An error that is raised
without a text has the first line of its docstring as its text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from .common.problems import Problem

SHOWN_TEXT: Final = 200


class DirectorError(Exception):
    """Something went wrong in django-director."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class UnknownWorkflow(DirectorError):
    """No workflow of this name is in the database."""

    def __init__(self, name: str, hint: str = "") -> None:
        self.name = name
        self.hint = hint
        super().__init__(f"unknown workflow “{name}”" + (f" ({hint})" if hint else ""))


class InactiveWorkflow(UnknownWorkflow):
    """The workflow has left the files and can't be started any more."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hint = ""
        DirectorError.__init__(
            self, f"workflow “{name}” has left the workflow files and can't be started any more"
        )


class UnknownRun(DirectorError):
    """No run, or no single run, has this id."""


class UnknownTask(DirectorError):
    """No task, or no single task, has this id or name."""


class StartRefused(DirectorError):
    """The message of a schedule could start no run."""


class ChildNotStarted(DirectorError):
    """A workflow can't be started as a step."""


class InvalidPayload(DirectorError):
    """The payload does not fit: ``errors`` lists each reason as ``{"path": …, "message": …}``.

    ``plain`` lists the reasons without quotations from the payload, for readers who may not see the payload.
    """

    def __init__(self, errors: Sequence[dict[str, Any]], plain: Sequence[dict[str, Any]] | None = None) -> None:
        self.errors = list(errors)
        self.plain = self.errors if plain is None else list(plain)
        lines = (f"{e['path']}: {e['message']}" if e["path"] else str(e["message"]) for e in errors)
        super().__init__("invalid payload: " + "; ".join(lines))


class InvalidDefinitions(DirectorError):
    """The workflow files have problems: ``problems`` lists them in the order of the files."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class InputTooLarge(DirectorError):
    """Results are too large together: for a task that would receive them, or for a run that would return them."""


class InvalidItems(DirectorError):
    """What `over` gives can't be the items of a map."""


class InvalidResult(DirectorError):
    """A task returned something that can't be stored as JSON."""


class Misuse(DirectorError, TypeError):
    """A task used something of Celery's that has no meaning inside a run, or an argument is of the wrong type."""


class ExpressionError(DirectorError):
    """An expression is wrong, or what it needs is not there.

    ``text`` is the expression. ``column`` is the place in the whole text of the value, ``${{`` included, counted
    from 1. ``place`` holds the keys that lead to that text in a value of ``with`` or ``payload``. The message may
    quote keys of the data, and a key that the expression computes may be secret; ``plain`` quotes no data.
    """

    def __init__(
        self, message: str, text: str = "", column: int = 1, hint: str = "", place: tuple[str | int, ...] = ()
    ) -> None:
        self.message = message
        self.text = text
        self.column = column
        self.hint = hint
        self.place = place
        shown = text if len(text) <= SHOWN_TEXT else text[: SHOWN_TEXT - 1] + "…"
        hint = f" ({hint})" if hint else ""
        self.plain = f"`{shown}`, column {column}: the reason is hidden, for it may quote data"
        super().__init__(f"`{shown}`, column {column}: {message}{hint}")

    def __reduce__(self) -> tuple[type[ExpressionError], tuple[Any, ...]]:
        return type(self), (self.message, self.text, self.column, self.hint, self.place)


class InvalidSettings(DirectorError):
    """``settings.DIRECTOR`` is not usable."""


class NotAllowed(DirectorError):
    """The user may not do this."""


class Conflict(DirectorError):
    """The state does not allow this now."""


class NotRoot(Conflict):
    """A child run can't be steered by itself, only through its root, the run ``root``.

    ``workflow`` is the primary key of the root's workflow. ``plain`` does not name the root, for readers who may
    not see it.
    """

    def __init__(self, what: str, child: UUID, root: UUID, workflow: int) -> None:
        self.what, self.child, self.root, self.workflow = what, child, root, workflow
        self.plain = f"{what}: run {child} is a child run, it is steered through its root"
        super().__init__(f"{what}: run {child} is a child run, steer its root, run {root}")

    def __reduce__(self) -> tuple[type[NotRoot], tuple[str, UUID, UUID, int]]:
        return type(self), (self.what, self.child, self.root, self.workflow)


class LockedRow(Conflict):
    """Another database session has locked ``what`` is to be written."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what} is locked by another database session; try again later")

    def __reduce__(self) -> tuple[type[LockedRow], tuple[str]]:
        return type(self), (self.what,)
