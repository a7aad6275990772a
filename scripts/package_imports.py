"""What the modules of the package import, read from their code.

A room is a folder or a module in the package's root. Imports inside functions and under ``TYPE_CHECKING`` count,
and so do texts that name a module. It needs nothing but Python.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
NAME: Final = "django_director"
PACKAGE: Final = ROOT / NAME

#: The package's own ``__init__``: what a project imports.
FACE: Final = "__init__"
NOT_ROOMS: Final = {"migrations"}

Arrows = Mapping[str, frozenset[str]]
"""Each room with the rooms that it imports."""


def modules() -> dict[str, Path]:
    """Every module of the package that belongs to a room, by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if NOT_ROOMS.isdisjoint(parts):
            name = ".".join((NAME, *parts))
            found[name.removesuffix(".__init__")] = path
    return found


def room_of(module: str) -> str:
    """The room in which a module of the package stands."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else FACE


def imports(module: str, path: Path, known: Iterable[str]) -> Iterator[str]:
    """The modules of the package that a module imports or names in a text, wherever in its code it does."""
    known = set(known)
    for name in imported_names(module, path):
        yield from {_module(name, known)} - {"", module}
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Constant):
            # For `import_module` or `include`.
            yield from {str(node.value)} & known - {NAME, module}


def imported_names(module: str, path: Path) -> Iterator[str]:
    """The dotted names of all that a module imports, from other packages too."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(syntax_tree(path)):
        yield from _names(node, package)


@cache
def syntax_tree(path: Path) -> ast.Module:
    """The code of a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def _module(name: str, known: set[str]) -> str:
    """The module in which a dotted name is found."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def _names(node: ast.AST, package: str) -> list[str]:
    """The dotted names that an import stands for: `from a import b` may mean the module `a.b`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    return [".".join((*above, *filter(None, (node.module, alias.name)))) for alias in node.names]


def arrows_between_rooms() -> dict[str, frozenset[str]]:
    """Each room with the other rooms that its modules import."""
    found: dict[str, set[str]] = {}
    known = modules()
    for module, path in known.items():
        room = room_of(module)
        others = found.setdefault(room, set())
        others |= {room_of(name) for name in imports(module, path, known)} - {room}
    return {room: frozenset(others) for room, others in sorted(found.items())}
