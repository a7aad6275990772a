"""The words with which an expression compares the status of a step or a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeGuard

from .nodes import Constant, ListOf, Name, Node, Operation


def compared_statuses(first: Node, rest: Sequence[Operation]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the offset of each ``.status`` in a comparison, and the constant texts with which it is compared."""
    left = first
    for operation in rest:
        right = operation.operand
        if operation.operator in ("==", "!="):
            for node, other in ((left, right), (right, left)):
                if _is_status(node):
                    yield node.offset, _texts((other,))
        elif operation.operator in ("in", "not in") and _is_status(left) and isinstance(right, ListOf):
            yield left.offset, _texts(right.parts)
        left = right


def _is_status(node: Node) -> TypeGuard[Name]:
    return isinstance(node, Name) and node.root in ("tasks", "run") and node.fields[-1:] == ("status",)


def _texts(nodes: Sequence[Node]) -> tuple[str, ...]:
    return tuple(node.value for node in nodes if isinstance(node, Constant) and isinstance(node.value, str))
