"""A module imports only from rooms before its own, in no circle; imports in functions and for typing count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import django_director

PACKAGE = Path(django_director.__file__).parent
ORDER: list[set[str]] = [
    # Only `celery` imports the broker: it stands apart.
    {"broker"},
    {"common", "status", "conf", "signals"},
    {"exceptions"},
    {"masking"},
    {"db", "dispatch"},
    {"expressions"},
    {"definitions"},
    {"graph"},
    {"models", "drawing"},
    {"access"},
    {"engine"},
    {"worker", "schedules"},
    {"presentation", "sync"},
    {"", "celery"},
    {"admin", "api", "management", "checks", "testing", "urls"},
    {"apps", "pytest_plugin", "templatetags"},
]
"""Each room imports only from those before its own line; the faces, in the last line but one, never each other."""
TOGETHER = (
    {"common", "status", "conf", "signals"},
    {"db", "dispatch"},
    {"worker", "schedules"},
    {"presentation", "sync"},
)
"""Lines in which a room may import from another one of the same line, as long as there is no circle of modules."""
MAY_IMPORT_CELERY = {
    *(
        "broker",
        "conf",
        "dispatch",
        "worker",
        "schedules",
        "sync",
        "",
        "celery",
        "management",
        "checks",
        "testing",
    ),
}
FACES_OF_ROOT = {
    *("__init__", "apps", "celery", "conf", "exceptions", "pytest_plugin", "signals", "status", "urls"),
}


def name_of(path: Path) -> str:
    """The dotted name of a file's module below the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts}


def room(module: str) -> str:
    return module.partition(".")[0]


def line_of(name: str) -> int:
    found = [number for number, names in enumerate(ORDER) if name in names]
    assert found, f"the room “{name}” has no place in the order of rooms"
    return found[0]


def imports(module: str) -> Iterator[str]:
    """What of the package a module imports anywhere in its text, as names of modules."""
    path = FILES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from (name.partition(".")[2] for name in names if name.split(".")[0] == PACKAGE.name)
        elif isinstance(node, ast.ImportFrom) and (base := _base(node, package)) is not None:
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                yield inner if inner in FILES else base


def _base(node: ast.ImportFrom, package: list[str]) -> str | None:
    written = (node.module or "").split(".") if node.module else []
    if node.level:
        return ".".join([part for part in package[: len(package) - node.level + 1] if part] + written)
    return ".".join(written[1:]) if written[:1] == [PACKAGE.name] else None


def test_a_room_imports_only_from_those_before_it():
    wrong = []
    for module in FILES:
        own = room(module)
        for other in {room(name) for name in imports(module)} - {own}:
            is_before = line_of(other) < line_of(own)
            if not is_before and not any({own, other} <= line for line in TOGETHER):
                wrong.append(f"{module or '__init__'} imports {other or '__init__'}")
            if other == "broker" and own != "celery":
                wrong.append(f"{module} imports broker, which only celery may")
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    # A package's `__init__` is imported with each of its modules: only what it imports itself is an arrow.
    arrows = {module: set(imports(module)) - {module} for module in FILES}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        raise AssertionError(" → ".join(error.args[1])) from None


def test_only_some_rooms_know_celery():
    wrong = []
    for module, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            if any(name.split(".")[0] == "celery" for name in names) and room(module) not in MAY_IMPORT_CELERY:
                wrong.append(module)
    assert not wrong


def test_the_root_has_only_faces():
    assert {path.stem for path in PACKAGE.glob("*.py")} == FACES_OF_ROOT


def test_each_room_says_what_it_owns():
    silent = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("__init__.py")
        if not {"migrations", "management"} & set(path.parts)
        and len(ast.get_docstring(ast.parse(path.read_text())) or "") < 20
    ]
    assert not silent


def test_statuses_are_spelt_in_one_place():
    words = {"upstream_failed", "queued", "skipped"}
    wrong = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for module, path in FILES.items()
        if room(module) not in {"status", "drawing"}
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in words
    ]
    assert not wrong
