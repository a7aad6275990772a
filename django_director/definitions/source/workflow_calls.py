"""A workflow that stands as a step in another one, as the file has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .nodes import Node

Tell = Callable[[str, Node, str, str], None]
"""Reports an error of the step: its code, its place, what is wrong, and the hint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One workflow that starts another. Both are known only when all files are read."""

    caller: str
    child: str
    node: Node
    """Where the child's name stands."""
    payload: Node | None
    is_constant: bool
    """The payload is known when the file is read."""
    tell: Tell
    hint_for: Callable[[Node], str]
    """Says how a text of the payload is written that looks like an expression; empty for any other text."""
