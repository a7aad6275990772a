"""Measure the package: lengths of functions and modules, and how often ``Any`` stands in signatures.

    python3 scripts/measure_house.py        (or: make measure)

The limits, and what is still over them, stand in ``tests/unit/test_house.py``. The script needs nothing but
Python.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "django_director"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Measured:
    """A function with its place and its length."""

    name: str
    """As `engine/outbox.py::publish`."""
    lines: int


def modules() -> dict[str, Path]:
    """The modules of the package by their paths, without migrations."""
    paths = (path for path in sorted(PACKAGE.rglob("*.py")) if "migrations" not in path.parts)
    return {path.relative_to(PACKAGE).as_posix(): path for path in paths}


@cache
def functions() -> list[tuple[str, Function]]:
    """All functions and methods with their modules and names."""
    found = []
    for name, path in modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [(f"{name}::{node.name}", node) for node in ast.walk(tree) if isinstance(node, Function)]
    return found


def function_lengths() -> list[Measured]:
    """The lengths of all functions, from the line with ``def`` to the last one, the longest first."""
    found = [Measured(name, (node.end_lineno or node.lineno) - node.lineno + 1) for name, node in functions()]
    return sorted(found, key=lambda function: (-function.lines, function.name))


def module_lengths() -> dict[str, int]:
    """The lines of each module."""
    return {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}


def anys() -> tuple[int, int]:
    """How many parameters and returns of functions are ``Any``, and how many hold it (``dict[str, Any]``)."""
    annotations = [annotation for _, node in functions() for annotation in _annotations(node)]
    return sum(map(_is_any, annotations)), sum(any(map(_is_any, ast.walk(part))) for part in annotations)


def _annotations(node: Function) -> Iterator[ast.expr]:
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    found = [argument.annotation for argument in named if argument is not None]
    yield from (annotation for annotation in [*found, node.returns] if annotation is not None)


def _is_any(part: ast.AST) -> bool:
    return isinstance(part, ast.Name) and part.id == "Any"


def in_root() -> list[str]:
    """The modules in the package's root."""
    return sorted(path.stem for path in PACKAGE.glob("*.py"))


def percentile(lengths: list[int], share: float) -> int:
    """The length that a share of all does not exceed."""
    return sorted(lengths)[min(int(len(lengths) * share), len(lengths) - 1)]


def main() -> None:
    measured, long = function_lengths(), {name: n for name, n in module_lengths().items() if n > 300}
    lengths = [function.lines for function in measured]
    lines = [
        f"functions: {len(lengths)}, median {percentile(lengths, 0.5)}, p90 {percentile(lengths, 0.9)} lines",
        f"longest: {', '.join(f'{function.name} {function.lines}' for function in measured[:5])}",
        f"functions over 40 lines: {sum(length > 40 for length in lengths)}",
        f"modules: {len(module_lengths())}, over 300 lines: {len(long)}",
        *(f"  {name} {count}" for name, count in sorted(long.items(), key=lambda item: -item[1])),
        "parameters and returns: {} are `Any`, {} hold it".format(*anys()),
        f"in the package's root: {', '.join(in_root())}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
