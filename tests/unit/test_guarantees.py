"""The page of guarantees names every row of the table of faults, and only tests that exist and say so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "guarantees.md").read_text()
ROWS = {int(number): cells for number, cells in re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.M)}
OPEN = {int(number) for number in re.findall(r"^- row (\d+): ", PAGE, re.M)}
NAMED = [
    (number, path, name)
    for number, cells in ROWS.items()
    for path, name in re.findall(r"`([\w/.]+)::(\w+)`", cells)
]


def test_every_row_is_there_with_a_test_or_open():
    assert list(ROWS) == list(range(1, 50))
    assert set(ROWS) - {number for number, _, _ in NAMED} <= OPEN


@pytest.mark.parametrize(("number", "path", "name"), NAMED)
def test_a_named_test_exists_and_is_marked(number, path, name):
    module = ast.parse((ROOT / path).read_text())
    found = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef) and node.name == name]
    assert found, f"{path} has no {name}"
    marks = [ast.unparse(mark) for mark in found[0].decorator_list]
    marks += [ast.unparse(node.value) for node in module.body if isinstance(node, ast.Assign)]
    assert any(f"fault({number})" in mark for mark in marks)


def test_promises_name_rows_that_exist():
    promised = {
        int(number) for rows in re.findall(r"Rows ([\d, ]+)\.$", PAGE, re.M) for number in rows.split(", ")
    }
    assert promised == set(ROWS)
