"""The limits of one evaluation, and the errors that its parts raise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

MAX_TEXT: Final = 10_000
"""How many characters an expression may have. There are no loops, so this limits the number of its operations."""
MAX_NESTING: Final = 20
"""How many levels of brackets, calls and unary operators it may have. Each needs frames of Python's stack."""
MAX_STEPS: Final = 1_000_000
"""How many parts of the data all operations of one evaluation may visit: about a second's work at most."""
MAX_SIZE: Final = 2**24
"""How many characters and parts one evaluation may make: as many as a task's arguments may have."""
MAX_RANGE: Final = 100_000
MAX_INT: Final = 2**63
"""Integers have 64 bits, as in ``common.json_values``."""


class Fault(Exception):
    """An error in an expression, at an offset in its text that may not be known yet.

    The message may be a function that returns it: some messages take work, and ``default`` discards the error.
    """

    def __init__(self, message: str | Callable[[], str], hint: str = "", at: int | None = None) -> None:
        self._message = message
        self.hint = hint
        self.offset = at

    @property
    def message(self) -> str:
        """What is wrong, as people read it."""
        return self._message if isinstance(self._message, str) else self._message()

    def at(self, offset: int) -> Fault:
        """Set the offset, unless an inner part has set it already; return this error."""
        if self.offset is None:
            self.offset = offset
        return self


class Missing(Fault):
    """A key or an index does not exist; ``default`` gives another value in that case."""


class Scope:
    """The names that an evaluation may use, and how many steps and characters it has used up."""

    __slots__ = ("_size", "_steps", "names")

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names
        self._steps = 0
        self._size = 0

    def spend(self, steps: int) -> None:
        """Count parts that are about to be visited. Raises ``Fault`` above ``MAX_STEPS``."""
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise Fault(f"it takes more than {MAX_STEPS:,} steps", "let a task do this")

    def make(self, size: int) -> None:
        """Count characters or parts that are made. Raises ``Fault`` above ``MAX_SIZE``."""
        self._size += size
        if self._size > MAX_SIZE:
            raise Fault(f"it makes more than {MAX_SIZE:,} characters or parts", "let a task do this")
