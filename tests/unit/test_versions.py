"""What is advertised is what is run: pyproject.toml, tox.ini and .ci/run name the same versions."""

from __future__ import annotations

import configparser
import re
import tomllib
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TOX = configparser.ConfigParser(interpolation=None)
TOX.read(ROOT / "tox.ini")
CI = (ROOT / ".ci" / "run").read_text()
#: The oldest and what follows it, up to the newest.
CELERY = ["55", "56", "57"]
DJANGO_NEEDS = {"60": (3, 12)}


def classified(prefix: str) -> list[str]:
    """Versions among the classifiers, as `3.13` and `6.0`."""
    found = [re.fullmatch(rf"{re.escape(prefix)} :: (\d+\.\d+)", text) for text in PROJECT["classifiers"]]
    return [match[1] for match in found if match]


def environments() -> set[str]:
    """The names in `env_list`, written out."""
    return {name for line in TOX["tox"]["env_list"].split() for name in _expanded(line)}


def _expanded(name: str) -> list[str]:
    choice = re.search(r"\{([^}]*)\}", name)
    if choice is None:
        return [name]
    before, after = name[: choice.start()], name[choice.end() :]
    return [text for option in choice[1].split(",") for text in _expanded(before + option + after)]


def floors(requirements: list[str]) -> dict[str, str]:
    """The lowest version of each package, without trailing zeros."""
    found = [re.match(r"([\w.-]+(?:\[\w+\])?)[=>]=([\d.]+)", text.strip()) for text in requirements]
    return {match[1]: re.sub(r"(\.0)+$", "", match[2]) for match in found if match}


def test_each_combination_that_is_advertised_has_an_environment():
    pythons, djangos = classified("Programming Language :: Python"), classified("Framework :: Django")
    wanted = {
        f"py{python.replace('.', '')}-dj{django.replace('.', '')}-ce{celery}"
        for python, django, celery in product(pythons, djangos, CELERY)
        if tuple(map(int, python.split("."))) >= DJANGO_NEEDS.get(django.replace(".", ""), (3, 11))
    }
    assert wanted == {name for name in environments() if name.startswith("py")}


def test_the_lowest_versions_are_those_that_are_asked_for():
    lowest = floors(TOX["testenv:lowest"]["deps"].split("\n"))
    asked = floors([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["postgres"]])
    assert asked == {package: lowest.get(package) for package in asked}


def test_ci_runs_the_oldest_the_newest_and_each_celery():
    (newest,) = re.findall(r"^NEWEST=(\S+)$", CI, re.M)
    (older,) = re.findall(r"^OLDER=\((.*)\)$", CI, re.M)
    run = {newest, *older.split()}
    assert run <= environments()
    assert newest == max(name for name in environments() if name.startswith("py"))
    assert "lowest" in run
    assert {name[-2:] for name in run - {"lowest"}} == set(CELERY)
