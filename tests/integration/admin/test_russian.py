"""Every page in Russian: no text of ours is left in English."""

import gettext
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.utils import translation

from django_director.conf import DEFAULTS
from django_director.status import RunStatus, TaskStatus, Trigger
from scripts.screenshots import further_pages, situation, take, tasks
from tests import factories

from .pages import text

NAMES = {
    *(
        "API",
        "Beat",
        "Celery",
        "Crontab",
        "Director",
        "Django",
        "DOT",
        "JSON",
        "Mermaid",
        "STEP",
        "SVG",
        "UTC",
        "id",
    ),
    *("MariaDB", "MySQL", "PostgreSQL", "SQLite"),
    *("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "loglevel", "retention", "localhost", "memory"),
    # What people type into files and terminals, and examples of it.
    *("A", "Q", "beat", "celery", "crontab", "worker", "manage", "py", "check", "mon", "fri", "Europe", "Paris"),
    *("90s", "10m", "1h30m", "2d", "31T14", "https", "www", "example", "com", "page", "name"),
    *("checkworkflows", "syncworkflows", "superviseworkflows"),
}
"""Words that are the same in every language."""
TRANSLATED = {
    *RunStatus.values,
    *TaskStatus.values,
    *Trigger.values,
    "map",
    "workflow",
    "approval",
    "wait",
    "group",
    "chain",
}
"""What rows hold, and pages say in words."""
PERMISSIONS = re.compile(r"django_director\.\w+|«Can view [\w ,]+»")
"""How the lists of Django's admin name them."""
LINES_OF_CODE = re.compile(r"\S+/\S+\.py:\d+, \w+")
CYRILLIC = re.compile(r"[\u0400-\u04ff]")
CUT = re.compile(r"\S*…")
SPOKEN = ("title", "aria-label", "placeholder", "alt")
UNSPOKEN = {"script", "style", "code", "pre", "option", "textarea"}
OF_OTHERS = {"nav-sidebar", "user-tools"}
STOCK = {"Search"}
"""Django says it in English in all languages."""


class Spoken(HTMLParser):
    """Collects the texts of a page that people read or hear."""

    def __init__(self, source):
        super().__init__()
        self.texts = []
        self._quiet = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in UNSPOKEN or given.get("id") in OF_OTHERS:
            self._quiet.append(tag)
        if not self._quiet:
            self.texts += [given[name] for name in SPOKEN if given.get(name)]
            self.texts += [given.get("value", "")] if tag == "input" and given.get("type") == "submit" else []

    def handle_endtag(self, tag):
        if self._quiet and self._quiet[-1] == tag:
            self._quiet.pop()

    def handle_data(self, data):
        if not self._quiet and data.strip():
            self.texts.append(data.strip())


class Known:
    """Knows the data of all rows, but for the history: pages translate that."""

    def __init__(self):
        labels = ("django_director", "django_celery_beat", "auth")
        models = [model for label in labels for model in apps.get_app_config(label).get_models()]
        rows = [row for model in models for row in model._base_manager.values() if model is not ContentType]
        lines = {line.strip() for leaf in _leaves(rows) for line in leaf.splitlines()}
        # The error of a run begins with its step.
        lines |= {line.partition(": ")[2] for line in lines}
        lines -= TRANSLATED
        self.lines = sorted((line for line in lines if re.search("[A-Za-z]", line)), key=len, reverse=True)
        self.words = NAMES | set(DEFAULTS) | (_words(" ".join(self.lines)) - _words(_our_texts()))

    def english_in(self, page):
        """Return the texts of a page with words that are neither data nor the same in every language."""
        return [each[:100] for each in Spoken(page).texts if each not in STOCK and self._is_english(each)]

    def _is_english(self, said):
        if not _words(said) - self.words:
            return False
        for pattern in (PERMISSIONS, LINES_OF_CODE, CUT):
            said = pattern.sub("", said)
        for line in self.lines:
            if _words(said) - self.words:
                said = said.replace(line, "")
        return bool(_words(said) - self.words)


def _leaves(value):
    if isinstance(value, dict):
        for key, each in value.items():
            yield from (str(key), *_leaves(each))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, str) and value.startswith("{"):
        yield from _leaves(json.loads(value))
    else:
        yield str(value)


def _words(given):
    return set(re.findall(r"[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*", given))


def _our_texts():
    """Return all texts of ours in English."""
    catalog = Path(apps.get_app_config("django_director").path) / "locale/ru/LC_MESSAGES/django.mo"
    with catalog.open("rb") as file:
        keys = gettext.GNUTranslations(file)._catalog
    return " ".join(key if isinstance(key, str) else key[0] for key in keys)


@pytest.fixture
def russian(settings):
    settings.LANGUAGE_CODE = "ru"
    with translation.override("ru"):
        yield


@pytest.mark.django_db
@pytest.mark.timeout(240)
def test_every_page_speaks_russian(russian, client_of):
    made = situation.make()
    pages = dict([*take.pages(made), *further_pages.further_pages(made), *tasks.pages(*tasks.CHECKED)])
    client = Client()
    client.force_login(factories.make_admin())
    bob = client_of("view_run", name="bob")
    known = Known()
    answers = {name: client.get(address) for name, address in pages.items()}
    answers["errors of a form"] = client.post(pages["run-form-fields"], {"comment": "x" * 2000})
    answers["little may be seen"] = client_of("view_run", "view_task").get(pages["run-failed"])
    answers["nothing may be done"] = bob.get(pages["run-retry"])
    left = {name: known.english_in(text(answer)) for name, answer in answers.items()}
    assert {name: found for name, found in left.items() if found} == {}


@pytest.mark.django_db
def test_what_programs_read_stays_english(russian, client_of):
    factories.make_run(factories.make_workflow(), "canceled", {"LOAD": "skipped"})
    found = client_of("view_run").get("/director/api/health/").json()
    assert "no supervisor is running: start a worker, each has one: celery -A … worker" in found["problems"]
    assert not CYRILLIC.search(text(client_of("view_run", name="bob").get("/director/api/schema/")))
