"""What one evaluation may cost, and how its parts report what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

MAX_TEXT: Final = 10_000
"""Characters of one expression. It has no loops, so this bounds the number of its operations."""
MAX_NESTING: Final = 20
"""Levels of brackets, calls and unary operators. Each costs frames of Python's stack, here and in evaluation."""
MAX_STEPS: Final = 1_000_000
"""Parts of the data that all operations of one evaluation may look at: about a second at the worst."""
MAX_SIZE: Final = 2**24
"""Characters and parts of all that one evaluation makes: what a task may be given."""
MAX_RANGE: Final = 10_000
MAX_INT: Final = 2**63
"""Integers are those of ``jsonvalues``: 64 bits."""


class Fault(Exception):
    """Something is wrong at a place in an expression that is not known yet, or only as an offset.

    The message may be a function, for messages that cost work and that ``default`` throws away.
    """

    def __init__(self, message: str | Callable[[], str], hint: str = "", at: int | None = None) -> None:
        self._message = message
        self.hint = hint
        self.offset = at

    @property
    def message(self) -> str:
        return self._message if isinstance(self._message, str) else self._message()

    def at(self, offset: int) -> Fault:
        """Set the offset, unless a part further inside has."""
        if self.offset is None:
            self.offset = offset
        return self


class Missing(Fault):
    """A key or an index is not there: what ``default`` is for."""


class Scope:
    """The names that an evaluation knows, and what it has spent."""

    __slots__ = ("_size", "_steps", "names")

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names
        self._steps = 0
        self._size = 0

    def spend(self, steps: int) -> None:
        """Count parts that are looked at, before looking at them."""
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise Fault(f"it takes more than {MAX_STEPS:,} steps", "let a task do this")

    def make(self, size: int) -> None:
        """Count characters or parts that are made."""
        self._size += size
        if self._size > MAX_SIZE:
            raise Fault(f"it makes more than {MAX_SIZE:,} characters or parts", "let a task do this")
