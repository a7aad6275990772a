"""A module imports only from rows above its own (design, section 5), and only some may know Celery."""

from __future__ import annotations

import ast
from pathlib import Path

import django_director

PACKAGE = Path(django_director.__file__).parent
LEVELS: list[set[str]] = [
    {"exceptions", "status", "ids", "faults", "jsonvalues", "hints", "patterns", "shutdown", "signs", "throttle"},
    {
        *("definitions", "expressions", "conf", "signals", "clock", "indexes"),
        *("masking", "masked_schema", "redaction", "secretplaces"),
    },
    {"graph", "drawing", "outline", "retrying"},
    {"models", "querysets", "results", "prepared", "inserts", "history", "users"},
    {"connecting", "messages", "routing", "refusals", "installation", "dispatch", "deadend", "intask", "broker"},
    {"authorization"},
    {"engine"},
    {
        "identity",
        "consumed",
        "frozen",
        "heartbeat",
        "leases",
        "losses",
        "processes",
        "requests",
        "inputs",
        "logs",
        "failing",
        "farewell",
        "green",
        "limits",
        "errortexts",
        "leftovers",
        "moments",
        "ownsteps",
        "strangers",
        "copies",
        "steplines",
        "attempts",
        "worker",
        "supervision",
        "remote",
        "celery",
        "local",
        "slots",
        "firings",
        "timings",
        "project",
        "orphans",
        "schedules",
        "sync",
        "testsync",
        "unapplying",
        "tasks",
        "apps",
    },
    {
        *("admin", "api", "management", "checks", "live_checks", "testing", "pytest_plugin", "urls"),
        *(
            "health",
            "served",
            "beats",
            "authorization",
            "visible_errors",
            "masked_source",
            "representation",
            "lookups",
            "hooknames",
            "questions",
        ),
    },
]
MAY_IMPORT_CELERY = {
    *(
        "connecting",
        "deadend",
        "dispatch",
        "intask",
        "routing",
        "celery",
        "steplines",
        "attempts",
        "worker",
        "failing",
        "farewell",
        "ownsteps",
        "strangers",
        "supervision",
        "losses",
        "processes",
        "requests",
        "remote",
        "local",
        "tasks",
        "broker",
        "schedules",
        "timings",
        "beats",
        "project",
        "checks",
    ),
    *("management", "apps", "conf"),
}


def level(module: str) -> int:
    found = [number for number, names in enumerate(LEVELS) if module in names]
    assert found, f"{module} has no place in the table of layers"
    return found[0]


def imported(path: Path, *, deferred: bool = False) -> set[tuple[str, str]]:
    """Pairs of (kind, first name): what a file imports at its top, or also inside functions."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    nodes = ast.walk(tree) if deferred else iter(tree.body)
    depth = len(path.relative_to(PACKAGE).parts)
    found: set[tuple[str, str]] = set()
    for node in nodes:
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {("external", alias.name.split(".")[0]) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= _imported_from(node, depth)
    return found


def _imported_from(node: ast.ImportFrom, depth: int) -> set[tuple[str, str]]:
    parts = (node.module or "").split(".")
    if node.level == 0 and parts[0] != PACKAGE.name:
        return {("external", parts[0])}
    inside = parts[1:] if node.level == 0 else parts if node.level == depth else None
    if inside is None:
        return set()
    return {
        ("own", name) for name in (inside[:1] if inside and inside[0] else [alias.name for alias in node.names])
    }


def modules() -> dict[Path, str]:
    return {
        path: path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path in PACKAGE.rglob("*.py")
        if "migrations" not in path.parts and path != PACKAGE / "__init__.py"
    }


def test_imports_go_upward_only():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path, module in modules().items()
        for kind, name in imported(path)
        if kind == "own" and not name.startswith("_") and level(name) > level(module)
    ]
    assert not wrong


def test_only_some_modules_know_celery():
    wrong = [
        str(path.relative_to(PACKAGE))
        for path, module in modules().items()
        if ("external", "celery") in imported(path, deferred=True) and module not in MAY_IMPORT_CELERY
    ]
    assert not wrong


def test_statuses_are_spelt_in_one_place():
    words = {"upstream_failed", "queued", "skipped"}
    wrong = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path, module in modules().items()
        if module not in {"status", "drawing"}
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in words
    ]
    assert not wrong
