"""Which module of the engine imports which: also inside functions and under ``TYPE_CHECKING``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import django_director.engine

PACKAGE = "django_director.engine"
ROOT = Path(django_director.engine.__file__).parent


@cache
def modules() -> dict[str, Path]:
    """The modules of the engine by their names below it: ``flow.advance``; packages are left out."""
    found = (path for path in ROOT.rglob("*.py") if path.name != "__init__.py")
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in found}


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text())


def imports() -> dict[str, set[str]]:
    """By module: the modules of the engine that it imports."""
    return {name: set(_imported(name, ast.walk(tree(name)))) - {name} for name in modules()}


def imported_by_the_package() -> set[str]:
    """The modules that are imported, one by the other, whenever anything of the engine is."""
    code = ast.parse((ROOT / "__init__.py").read_text())
    found: set[str] = set()
    waiting = set(_imported("", iter(code.body)))
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(_imported(name, iter(tree(name).body))) - found
    return found


def _imported(name: str, nodes: Iterator[ast.AST]) -> Iterator[str]:
    own = [*PACKAGE.split("."), *name.split(".")][:-1] if name else PACKAGE.split(".")
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from _known(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = own[: len(own) - node.level + 1] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            yield from _known([base, *(f"{base}.{alias.name}" for alias in node.names)])


def _known(names: Iterator[str] | list[str]) -> Iterator[str]:
    for full in names:
        name = full.removeprefix(f"{PACKAGE}.")
        if name != full and name in modules():
            yield name
