"""The documentation names everything that there is: settings, commands, checks, codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

import django_director
from django_director import checks, live_checks
from django_director.conf import DEFAULTS
from django_director.definitions import CODES

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
    modules = [Path(module.__file__) for module in (checks, live_checks)]
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


def test_links_lead_somewhere():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        if "_build" not in page.parts
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken
