"""A module imports only from rooms before its own, in no circle; imports in functions and for typing count too."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

from scripts.package_imports import FACE, PACKAGE, imported_names, imports, modules, room_of, syntax_tree

FILES = modules()
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
    {FACE, "celery"},
    {"admin", "api", "management", "checks", "testing"},
    {"apps", "pytest_plugin", "urls", "templatetags"},
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
        FACE,
        "celery",
        "management",
        "checks",
        "testing",
    ),
}
FACES_OF_ROOT = {
    *("__init__", "apps", "celery", "conf", "exceptions", "pytest_plugin", "signals", "status", "urls"),
}


def imported(module: str) -> set[str]:
    return set(imports(module, FILES[module], FILES))


def line_of(name: str) -> int:
    found = [number for number, names in enumerate(ORDER) if name in names]
    assert found, f"the room “{name}” has no place in the order of rooms"
    return found[0]


def test_a_room_imports_only_from_those_before_it():
    wrong = []
    for module in FILES:
        own = room_of(module)
        for other in {room_of(name) for name in imported(module)} - {own}:
            is_before = line_of(other) < line_of(own)
            if not is_before and not any({own, other} <= line for line in TOGETHER):
                wrong.append(f"{module} imports {other}")
            if other == "broker" and own != "celery":
                wrong.append(f"{module} imports broker, which only celery may")
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    # A package's `__init__` is imported with each of its modules: only what it imports itself is an arrow.
    arrows = {module: set(imported(module)) for module in FILES}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        raise AssertionError(" → ".join(error.args[1])) from None


def test_only_some_rooms_know_celery():
    knowing = {
        module
        for module, path in FILES.items()
        if any(name.split(".")[0] == "celery" for name in imported_names(module, path))
    }
    assert {module for module in knowing if room_of(module) not in MAY_IMPORT_CELERY} == set()


def test_the_root_has_only_faces():
    assert {path.stem for path in PACKAGE.glob("*.py")} == FACES_OF_ROOT


def test_each_room_says_what_it_owns():
    silent = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("__init__.py")
        if not {"migrations", "management"} & set(path.parts)
        and len(ast.get_docstring(syntax_tree(path)) or "") < 20
    ]
    assert not silent


def test_statuses_are_spelt_in_one_place():
    words = {"upstream_failed", "queued", "skipped"}
    wrong = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for module, path in FILES.items()
        if room_of(module) not in {"status", "drawing"}
        for node in ast.walk(syntax_tree(path))
        if isinstance(node, ast.Constant) and node.value in words
    ]
    assert not wrong
