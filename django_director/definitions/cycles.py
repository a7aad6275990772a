"""Orders of things that wait for each other, and the cycles that make an order impossible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SHOWN: Final = 12
"""A message lists at most so many names of a cycle."""


def find_order(before: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Return an order in which each number comes after the numbers ``before`` it, and a cycle if there is one.

    ``[a, b]`` as a cycle means that b comes before a, and a before b. The cycle is empty when there is none.
    """
    after: list[list[int]] = [[] for _ in before]
    waiting = [len(numbers) for numbers in before]
    for number, numbers in enumerate(before):
        for other in numbers:
            after[other].append(number)
    ordered = [number for number, count in enumerate(waiting) if not count]
    for number in ordered:
        for other in after[number]:
            waiting[other] -= 1
            if not waiting[other]:
                ordered.append(other)
    return ordered, _cycle(before, waiting)


def _cycle(before: Sequence[Sequence[int]], waiting: list[int]) -> list[int]:
    number = next((number for number, count in enumerate(waiting) if count), None)
    if number is None:
        return []
    path: list[int] = []
    seen: dict[int, int] = {}
    while number not in seen:
        seen[number] = len(path)
        path.append(number)
        # Whoever still waits, waits for one that does.
        number = next(other for other in before[number] if waiting[other])
    return path[seen[number] :]


def cycle_text(names: Sequence[str]) -> str:
    """Return a cycle as messages show it: “a” → “b” → “a”."""
    names = [name for number, name in enumerate(names) if name != names[number - 1] or len(names) == 1]
    listed = [f"“{name}”" for name in [*names, *names[:1]]]
    if len(listed) > SHOWN:
        listed = [*listed[: SHOWN - 2], "…", listed[-1]]
    return " → ".join(listed)
