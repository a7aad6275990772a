"""The translations: complete, with the same placeholders as the texts of the code, and compiled."""

import ast
import gettext
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

LOCALE = Path(__file__).resolve().parents[2] / "django_director" / "locale"
CATALOGS = sorted(LOCALE.glob("*/LC_MESSAGES/django.po"))
PLACEHOLDER = re.compile(r"%\(\w+\)s|%%|%s|\{\w*\}")
LINE = re.compile(r'(?:(msgctxt|msgid|msgid_plural|msgstr(?:\[\d\])?) )?(".*")$')


def entries(catalog):
    """The entries of a catalog, but for its head: each a dict of its parts, and of its flags."""
    for block in catalog.read_text(encoding="utf-8").split("\n\n")[1:]:
        found, part = {"flags": ""}, ""
        for line in block.splitlines():
            if line.startswith("#"):
                found["flags"] += line
            elif match := LINE.match(line):
                part = match[1] or part
                found[part] = found.get(part, "") + ast.literal_eval(match[2])
        yield found


def translations(entry):
    return [text for part, text in entry.items() if part.startswith("msgstr")]


def placeholders(text):
    return sorted(set(PLACEHOLDER.findall(text)) - {"%%"})


@pytest.fixture(params=CATALOGS, ids=lambda path: path.parts[-3])
def catalog(request):
    return request.param


def test_there_is_russian():
    assert [path.parts[-3] for path in CATALOGS] == ["ru"]


def test_every_text_is_translated_by_a_person(catalog):
    assert [entry["msgid"] for entry in entries(catalog) if not all(translations(entry))] == []
    assert [entry["msgid"] for entry in entries(catalog) if "fuzzy" in entry["flags"]] == []


def test_placeholders_are_those_of_the_text(catalog):
    odd = []
    for entry in entries(catalog):
        allowed = [placeholders(entry["msgid"]), placeholders(entry.get("msgid_plural", entry["msgid"]))]
        odd += [text for text in translations(entry) if placeholders(text) not in allowed]
    assert odd == []


def test_it_is_compiled(catalog, tmp_path):
    if shutil.which("msgfmt") is None:
        assert not os.environ.get("DIRECTOR_REQUIRE_SERVICES"), "msgfmt is missing: install GNU gettext"
        pytest.skip("msgfmt is missing: install GNU gettext")
    made = tmp_path / "django.mo"
    subprocess.run(["msgfmt", "--check-format", "-o", made, catalog], check=True)
    assert read(made) == read(catalog.with_suffix(".mo")), "run `make messages`"


def read(compiled):
    with compiled.open("rb") as file:
        return gettext.GNUTranslations(file)._catalog
