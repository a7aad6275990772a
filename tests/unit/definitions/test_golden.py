"""Every problem as users see it: line, column, code, message and hint."""

from __future__ import annotations

import ast
import functools
import os
import re
from pathlib import Path

import pytest

from django_director import definitions
from django_director.definitions import CODES, read_files
from django_director.definitions.source import codes

from .helpers import checked

CASES = re.findall(
    r"^### (?P<name>.+)\n(?P<text>(?s:.*?))\n--->\n(?P<expected>(?:.+\n?)+)",
    Path(__file__).with_name("golden.txt").read_text(),
    flags=re.MULTILINE,
)
#: These need files, folders or a whole project; they are tested beside this table or with the project.
ELSEWHERE = {"D001", "D002", "D404", "D405", "D407", "D408"}


@pytest.mark.parametrize(("name", "text", "expected"), CASES, ids=[case[0] for case in CASES])
def test_problem(tmp_path, monkeypatch, name, text, expected):
    monkeypatch.chdir(tmp_path)
    reading = checked(tmp_path, text + "\n")
    shown = [str(problem).removeprefix("workflows.yml:") for problem in reading.problems + reading.notes]
    assert shown == expected.splitlines()


def test_every_code_has_a_case():
    told = {name.split()[0] for name, text, expected in CASES}
    assert told | ELSEWHERE == set(CODES)
    assert all(name.split()[0] in expected for name, text, expected in CASES)


PACKAGE = Path(definitions.__file__).parent


@functools.cache
def sources() -> dict[Path, ast.Module]:
    """The package's code; read when a test asks for it, for every process of the tests imports this module."""
    found = PACKAGE.parent.rglob("*.py")
    return {path: ast.parse(path.read_text()) for path in found if "migrations" not in path.parts}


def test_every_code_is_used():
    names = {name for name, code in vars(codes).items() if isinstance(code, str) and code in CODES}
    used = {
        node.attr
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "codes"
    }
    assert len(names) == len(CODES)
    assert names == used & names


def test_each_problem_has_line_column_and_hint():
    for name, _, expected in CASES:
        for line in expected.splitlines():
            assert re.fullmatch(r"\d+:\d+: D\d{3} .+ \(.+\)", line), f"{name}: {line}"


def choices(node: ast.expr) -> list[ast.expr]:
    return [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]


def is_empty(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not node.value


def test_no_problem_is_reported_without_a_hint():
    bare = [
        f"{path.name}:{call.lineno}"
        for path, tree in sources().items()
        if path.parent == PACKAGE
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("error", "note", "refuse")
        and not any(isinstance(argument, ast.Starred) for argument in call.args)
        and (len(call.args) < 4 or any(is_empty(part) for part in choices(call.args[3])))
    ]
    assert bare == []


def test_missing_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (problem,) = read_files([tmp_path / "nothing.yml"]).problems
    assert str(problem) == (
        "nothing.yml:1:1: D001 the file can't be read: No such file or directory "
        '(correct the path, or `DIRECTOR["WORKFLOWS"]`)'
    )


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.yml")
    problems = read_files([tmp_path, tmp_path / "pipe.yml"]).problems
    assert ["folder" in problems[0].message, "regular file" in problems[1].message] == [True, True]


def test_not_utf8(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("workflows.yml").write_bytes(b"shop.A:\n  description: caf\xe9\n")
    (problem,) = read_files([tmp_path / "workflows.yml"]).problems
    assert str(problem) == "workflows.yml:2:1: D002 the file is not UTF-8: byte 0xe9 (save it as UTF-8)"


def test_all_problems_of_all_files_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("b.yml").write_text("shop.A: {tasks: []}\nshop.B: {tasks: 1, queu: x}\n")
    Path("a.yml").write_text("shop.C: {tasks: [no]}\nshop.A: {tasks: []}\n")
    problems = read_files([tmp_path / "b.yml", tmp_path / "a.yml"]).problems
    assert [(str(p.place), p.code, p.workflow) for p in problems] == [
        ("b.yml:2:17", "D104", "shop.B"),
        ("b.yml:2:20", "D105", "shop.B"),
        ("a.yml:1:18", "D009", "shop.C"),
        ("a.yml:2:1", "D102", "shop.A"),
    ]
    assert "first at b.yml:1:1" in problems[-1].message
