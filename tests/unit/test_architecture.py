"""The page of the architecture is what the code says, and the pages for contributors name only what there is."""

from __future__ import annotations

import ast
import re

import pytest

from scripts import draw_rooms, package_imports

PAGE = draw_rooms.PAGE.read_text()
#: As `engine/outbox.py::publish`, in a link or not.
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))
PAGES = "\n".join(
    path.read_text() for path in (*draw_rooms.PAGE.parent.glob("*.md"), package_imports.ROOT / "CONTRIBUTING.md")
)
MODULES = sorted(set(re.findall(r"`([\w/]+\.py)(?:::\w+)?`", PAGES)))
FILES = sorted(set(re.findall(r"`((?:django_director|tests|docs|scripts)/[\w/.-]+)`", PAGES)))


def test_the_picture_and_the_tables_are_those_of_the_code():
    stale = draw_rooms.stale(draw_rooms.wanted())
    assert not stale, f"{[path.name for path in stale]}: run `{draw_rooms.COMMAND}`"


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_what_is_named_exists(path, name):
    module = package_imports.PACKAGE / path
    assert module.exists(), f"{path} is not in the package"
    tree = ast.parse(module.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, kinds)} | assigned(tree)


def assigned(tree):
    """The names that a module gives to values."""
    targets = [node.targets for node in tree.body if isinstance(node, ast.Assign)]
    targets += [[node.target] for node in tree.body if isinstance(node, ast.AnnAssign)]
    return {target.id for several in targets for target in several if isinstance(target, ast.Name)}


@pytest.mark.parametrize("path", MODULES)
def test_named_modules_exist(path):
    assert "KIND" in path or any(
        (folder / path).exists() for folder in (package_imports.PACKAGE, package_imports.ROOT)
    )


@pytest.mark.parametrize("path", FILES)
def test_files_of_the_recipes_exist(path):
    # In a recipe for something new the new file has a made-up name.
    assert "KIND" in path or (package_imports.ROOT / path).exists()


def test_ten_steps_are_told():
    assert re.findall(r"^(\d+)\. ", PAGE, re.M)[:10] == [str(number) for number in range(1, 11)]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import django_director.engine.outbox", {"django_director.engine.outbox"}),
        ("from django_director.engine import outbox", {"django_director.engine.outbox"}),
        ("from django_director.engine.outbox import publish", {"django_director.engine.outbox"}),
        ("from .outbox import publish", {"django_director.engine.outbox"}),
        ("from . import outbox", {"django_director.engine.outbox"}),
        ("from .. import conf", {"django_director.conf"}),
        ("from ..conf import director", {"django_director.conf"}),
        ("def f():\n    from django_director import conf", {"django_director.conf"}),
        ("if TYPE_CHECKING:\n    from django_director.conf import director", {"django_director.conf"}),
        ("import_module('django_director.conf')", {"django_director.conf"}),
        ("import json, django.conf\nfrom celery import Celery\n'django_director'", set()),
    ],
)
def test_every_import_is_seen(tmp_path, code, found):
    path = tmp_path / "module.py"
    path.write_text(code)
    assert set(package_imports.imports("django_director.engine.module", path, package_imports.modules())) == found


def test_arrows_that_others_tell_are_left_out():
    arrows = {"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset()}
    assert draw_rooms.needed_arrows(arrows) == {"a": {"b"}, "b": {"c"}, "c": frozenset()}
    assert draw_rooms.floors(arrows) == {"a": 2, "b": 1, "c": 0}


def test_a_circle_is_found_and_stands_on_one_floor():
    arrows = {"a": frozenset("b"), "b": frozenset("ac"), "c": frozenset()}
    assert draw_rooms.circles(arrows) == {"a": {"a", "b"}, "b": {"a", "b"}, "c": frozenset()}
    assert draw_rooms.floors(arrows) == {"a": 1, "b": 1, "c": 0}
    assert "circle" in draw_rooms.Drawing(arrows).svg()
