"""docs/reference/python.md names what the code has: functions, parameters, exceptions, signals, fields."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest
from django.db import models

from django_director import exceptions, signals, status
from django_director.access.authorization import PERMISSIONS
from django_director.models import Run, Task
from django_director.worker.context import Context

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = (REFERENCE / "python.md").read_text()
CHAPTERS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^(?:\([\w-]+\)=\n)?## |\Z)", PAGE, re.M | re.S))
MODULES = ("django_director", "django_director.celery", "django_director.testing")
SECTIONS = [
    (module, name, text)
    for module in MODULES
    for name, text in re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", CHAPTERS[module], re.M | re.S)
]
FUNCTIONS = [(module, name, text) for module, name, text in SECTIONS if name not in ("DirectorTask", "task")]
INNER_COLUMNS = {
    Run: {"counted_from", "stop", "token", "sent_at", "is_awaited", "slot", "queued_at", "next_admission_at"},
    Task: {
        *("position", "sequence", "claim", "lease_until", "worker_key", "next_dispatch_at", "dispatches"),
        *("unknown_since", "unsendable_since"),
    },
}
"""Columns that belong to the engine."""


def public(module: ModuleType) -> set[str]:
    """What a module offers: its ``__all__``, or what it defines."""
    named = getattr(module, "__all__", None)
    if named is not None:
        return set(named)
    here = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return {name for name in here if not name.startswith("_")}


def names_in_first_column(text: str) -> list[str]:
    """The names in backticks of the tables' first columns, without what is called or indexed."""
    cells = re.findall(r"^\| ([^|]*`[^|]*) \|", text, re.M)
    return [re.match(r"\w+", name)[0] for cell in cells for name in re.findall(r"`(\w[^`]*)`", cell)]  # type: ignore[index]


def properties(owner: type) -> set[str]:
    """What a class itself adds to a model: properties, methods and plain attributes."""
    own = {name for name, value in vars(owner).items() if isinstance(value, property) or inspect.isfunction(value)}
    return {name for name in own | set(owner.__annotations__) if not name.startswith("_")}


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name(module):
    assert {name for home, name, _ in SECTIONS if home == module} == public(importlib.import_module(module))


@pytest.mark.parametrize(("module", "name", "text"), FUNCTIONS, ids=[f"{m}.{n}" for m, n, _ in FUNCTIONS])
def test_every_parameter_with_its_default(module, name, text):
    shown = re.search(r"```text\n(.*?)```", text, re.S)
    assert shown, f"{name} has no signature"
    made: dict[str, object] = {}
    exec(f"from __future__ import annotations\ndef {shown[1].strip()}: ...", made)
    written = inspect.signature(made[name])
    actual = inspect.signature(getattr(importlib.import_module(module), name))
    assert [(p.name, p.kind, p.default) for p in written.parameters.values()] == [
        (p.name, p.kind, p.default) for p in actual.parameters.values()
    ]
    assert written.return_annotation == actual.return_annotation
    assert set(actual.parameters) <= set(re.findall(r"`(\w+)(?:=[^`]*)?`", text))


def test_every_exception_with_its_attributes():
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", CHAPTERS["django_director.exceptions"], re.M)
    named = [name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(public(exceptions) - {"SHOWN_TEXT"})
    for name in named:
        kind = getattr(exceptions, name)
        line = next(
            line for line in PAGE.splitlines() if line.startswith("|") and f"`{name}`" in line.split("|")[1]
        )
        assigned = set(re.findall(r"self\.(\w+) =", inspect.getsource(kind)))
        assert assigned <= set(re.findall(r"`(\w+)`", line)), name
        bases = [base.__name__ for base in kind.__bases__ if base.__name__ not in ("DirectorError", "Exception")]
        assert all(f"`{base}`" in line for base in bases), name


def test_no_exception_is_raised_in_words_only():
    told = re.findall(r"[Rr]aises [^|]*?[.]\s", PAGE)
    raised = {name for text in told for name in re.findall(r"`([A-Z][A-Za-z]+)`", text)}
    builtin = {"ValueError", "TimeoutError", "LookupError"}
    assert raised - builtin <= public(exceptions)


def test_every_signal_with_its_argument():
    text = CHAPTERS["django_director.signals"]
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", text, re.M))
    source = Path(signals.__file__).read_text()
    assert rows == {name: argument for argument, name in re.findall(r"#: Arguments: ``(\w+)``.*\n(\w+) =", source)}


@pytest.mark.parametrize("kind", [status.RunStatus, status.TaskStatus])
def test_every_status(kind):
    text = CHAPTERS["Statuses"]
    table = text[text.index(f"| `{kind.__name__}` |") :].split("\n\n")[0]
    assert set(names_in_first_column(table)) - {kind.__name__} == set(kind.values)


def test_every_trigger():
    line = CHAPTERS["Statuses"].split("`Trigger` is one of ")[1]
    assert set(re.findall(r"`(\w+)`", line)) == set(status.Trigger.values)


@pytest.mark.parametrize("model", [Run, Task])
def test_every_column_and_property_that_is_not_the_engines(model: type[models.Model]):
    shown = set(names_in_first_column(CHAPTERS[f"What a `{model.__name__}` holds"]))
    columns = {field.name for field in model._meta.get_fields() if not field.auto_created or field.one_to_many}
    related = {"gates"}
    assert shown == (columns | properties(model)) - INNER_COLUMNS[model] - related


def test_every_attribute_of_the_context():
    text = next(text for _, name, text in SECTIONS if name == "context")
    assert set(names_in_first_column(text)) == properties(Context) | {"run_id"}


def test_every_action_that_authorize_is_asked_for():
    page = (REFERENCE / "settings.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| `AUTHORIZE`"))
    actions = re.findall(r"`([a-z_]+)`", row.split("`action` is ")[1].split("`workflow`")[0])
    assert set(actions) == set(PERMISSIONS)
