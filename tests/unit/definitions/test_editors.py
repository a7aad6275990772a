"""The JSON Schema for editors, against the files that there are and against the reader."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from django_director.definitions import KINDS, ON_CONFLICT, ON_TIMEOUT, OUTCOMES, RULES, editor_schema
from django_director.definitions.fields import options
from django_director.definitions.reader import policies, schedules, workflow_reader
from django_director.definitions.source.compose import load
from django_director.definitions.source.nodes import plain
from django_director.definitions.source.report import Report

from .test_golden import CASES
from .test_language import BY_FEATURE, EXAMPLE

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads(editor_schema())
PARTS = SCHEMA["definitions"]
FILES = [
    *sorted((ROOT / "example_project").rglob("workflows.yml")),
    *sorted((ROOT / "tests" / "acceptance" / "workflows").glob("*.yml")),
]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
IN_PAGES = {
    f"{page.name} {number}": text
    for page in PAGES
    for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S))
    if re.search(r"^[\w-]+\.[\w-]+:", text, re.M)
}
VALID = {
    "the whole language": EXAMPLE,
    **{str(path.relative_to(ROOT)): path.read_text() for path in FILES},
    **IN_PAGES,
    **BY_FEATURE,
    "private keys": "x-a: 1\n.b: [2]\nshop.A: {x-b: 1, tasks: [A: {x-c: 1}, B: null, C: {}]}\n",
    "empty": "---\n",
}
WRONG = {
    name: text
    for name, text, expected in CASES
    if re.match(r"D10[1345]|D202|D203|D204|D108|D213|D301|D306|D309", name)
    or name in ("D107 retry", "D107 trigger rule", "D107 flag", "D107 priority", "D107 over", "D107 concurrency")
}


def data(text: str):
    report = Report(path="workflows.yml")
    node = load(text, report)
    assert all(problem.code == "D009" for problem in report.problems)
    return plain(node) if node else None


def test_it_is_a_schema():
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("text", VALID.values(), ids=VALID.keys())
def test_valid_files(text):
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(data(text))] == []


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_wrong_files(text):
    assert not Draft7Validator(SCHEMA).is_valid(data(text))


def test_there_is_something_to_check():
    assert len(FILES) > 4
    assert len(IN_PAGES) > 2
    assert len(WRONG) > 20


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        ("workflow", workflow_reader.KEYS),
        *((kind.schema_name or kind.name, kind.keys) for kind in KINDS.values()),
        ("schedule", schedules.KEYS),
    ],
)
def test_it_has_the_keys_of_the_reader(part, keys):
    assert set(PARTS[part]["properties"]) == set(keys)


def test_it_has_the_inner_keys_and_words_of_the_reader():
    whole = PARTS["workflow"]["properties"]
    assert set(whole["hooks"]["properties"]) == set(OUTCOMES)
    assert set(whole["concurrency"]["properties"]) == set(policies.CONCURRENCY_KEYS)
    assert whole["concurrency"]["properties"]["on_conflict"]["enum"] == list(ON_CONFLICT)
    assert set(whole["defaults"]["properties"]) == set(options.RUNNING_KEYS)
    assert set(PARTS["retry"]["anyOf"][1]["properties"]) == set(options.RETRY_KEYS)
    assert PARTS["trigger_rule"]["enum"] == list(RULES)
    assert PARTS["approval"]["properties"]["on_timeout"]["enum"] == list(ON_TIMEOUT)
