"""The documentation names everything that there is: settings, commands, checks, codes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import get_commands, load_command_class

import django_director
from django_director.checks import live, setting_values, static
from django_director.conf import DEFAULTS
from django_director.definitions import CODES
from django_director.models import Run

ROOT = Path(__file__).parents[2]
PACKAGE = Path(django_director.__file__).parent
REFERENCE = ROOT / "docs" / "reference"
COMMANDS = sorted(name for name, app in get_commands().items() if app == "django_director")
SHARED = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color"}
SHARED |= {"--force-color", "--skip-checks", "--user"}


def cells(page: str, column: int) -> dict[str, str]:
    """One column of a page's tables, by the first, which holds a name in backticks."""
    rows = (line.strip("| ").split(" | ") for line in (REFERENCE / page).read_text().splitlines() if "|" in line)
    return {row[0].strip("`"): row[column] for row in rows if row[0].startswith("`")}


def test_every_setting_with_its_default():
    shown = cells("settings.md", 1)
    assert set(shown) == set(DEFAULTS)
    sizes = {"KiB": 1024, "MiB": 1024 * 1024}
    for key, text in shown.items():
        if key == "MASK":
            continue
        number = re.fullmatch(r"([\d,]+)(?: (KiB|MiB))?", text)
        if number:
            value = int(number[1].replace(",", "")) * sizes.get(number[2] or "", 1)
            assert value == DEFAULTS[key], key
        else:
            assert text.strip("`") == repr(DEFAULTS[key]).replace("'", '"'), key


def test_every_problem_of_files_with_its_words():
    shown = {code: text for code, text in cells("checks.md", 1).items() if code.startswith("D")}
    assert shown == CODES


def test_every_system_check():
    modules = [Path(module.__file__) for module in (setting_values, static, live)]
    used = {code for module in modules for code in re.findall(r"director\.[EW]\d{3}", module.read_text())}
    assert {code for code in cells("checks.md", 0) if code.startswith("director.")} == used


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_with_its_options(name):
    page = (REFERENCE / "commands.md").read_text()
    usage = re.search(rf"^`{name}( [^`]*)?`$", page, re.M)
    assert usage, f"docs/reference/commands.md lacks {name}"
    parser = load_command_class("django_director", name).create_parser("manage.py", name)
    options = {option for action in parser._actions for option in action.option_strings if option[:2] == "--"}
    assert set(re.findall(r"--[\w-]+", usage[0])) == options - SHARED


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_has_every_command(name):
    assert re.search(rf"`{name}\b", (ROOT / "README.md").read_text())


def test_the_router_of_the_docs_keeps_our_tables_in_one_database():
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    made: dict[str, Any] = {}
    exec(re.findall(r"```python\n(class DirectorRouter:.*?)```", page, re.S)[0], made)
    router = made["DirectorRouter"]()
    assert {router.db_for_read(Run), router.db_for_write(Run)} == {"director"}
    assert router.db_for_read(User) is None is router.db_for_write(User)
    assert router.allow_migrate("director", "django_director") is True
    assert router.allow_migrate("default", "django_director") is False
    assert router.allow_migrate("director", "auth") is False


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/tutorial/first-workflow.md"])
def test_commands_of_make_exist(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"(?:`|^\$ )make ([a-z ]+)", (ROOT / page).read_text(), re.M)
    assert {name for names in named for name in names.split()} <= targets


def test_links_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        if "_build" not in page.parts
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken


@cache
def sources() -> str:
    """All of the package's code, with texts that stand on several lines put together."""
    text = "\n".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))
    return re.sub(r"[\"']\s*\n\s*f?[\"']", "", text)


@pytest.mark.parametrize(
    "words",
    [
        "counts as lost",
        "does not answer",
        "outcomes and starts of tasks that wait for other database sessions",
        "no supervisor is running: ",
        "no supervisor has worked for ",
        "the broker does not answer: queued tasks wait until it does",
        "the database does not answer as it should: ",
        "; they are sent when it answers again.",
        "is locked by another database session; try again later",
        "a slot of its key",
        "waits for approval",
        "waits until ",
        "tried again at ",
        "not before ",
        "child run ",
        " does not know this task",
        "start a worker that imports it, then retry the run",
        "Unsendable: ",
        "can't be sent to queue `",
        "--force ends them",
        "starts nothing: the run for its time exists already",
        ", by another message; two beats may run, or one was started anew",
        " slots since ",
        ": their messages came too late. Of missed slots the last start, as many as ",
        "This worker took a message of another installation of django-director from queue `",
        "; two projects share this broker: give each its own (database number, virtual host) or queues",
        ": `periodic` starts nothing with beat's scheduler as it is set: ",
    ],
)
def test_what_people_look_for_when_a_run_hangs_is_what_is_said(words):
    assert words in sources()
    assert words in (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text()
