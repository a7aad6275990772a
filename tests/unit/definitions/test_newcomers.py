"""What newcomers write, in the words of the engine that they come from: `newcomers.txt` is to be read by a person.

Each mistake is told once, with its place and a way out, and nothing is told that is only its consequence.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .helpers import checked

CASES = re.findall(
    r"^### (?P<name>.+)\n(?P<text>(?s:.*?))\n--->\n(?P<expected>(?:.+\n?)+)",
    Path(__file__).with_name("newcomers.txt").read_text(),
    flags=re.MULTILINE,
)
#: A mistake in the form of the file itself, which is seen from both sides.
TWICE = {"53 Steps outside of the workflow"}


@pytest.mark.parametrize(("name", "text", "expected"), CASES, ids=[case[0] for case in CASES])
def test_mistake(tmp_path, monkeypatch, name, text, expected):
    monkeypatch.chdir(tmp_path)
    reading = checked(tmp_path, text + "\n")
    shown = [str(problem).removeprefix("workflows.yml:") for problem in reading.problems + reading.notes]
    assert shown == expected.splitlines()
    assert all(re.fullmatch(r"\d+:\d+: D\d{3} .+ \(.+\)", line) for line in shown)


def test_at_least_sixty_mistakes():
    assert len(CASES) >= 60
    assert [int(name.split()[0]) for name, _, _ in CASES] == list(range(1, len(CASES) + 1))


def test_none_is_told_as_a_missing_thing_too():
    """A key by another name is not missing: only the other name is wrong."""
    both = [
        name
        for name, _, expected in CASES
        if "D105" in expected and re.search(r"D(104|213|301|402) |needs `max`", expected)
    ]
    assert both == []
