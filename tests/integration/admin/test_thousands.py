"""Separators of thousands stand in texts only, never in an address or an attribute that a program reads."""

import re
from html.parser import HTMLParser

import pytest
from django.test import Client

from django_director.models import Workflow
from scripts.screenshots import further_pages, situation, take, tasks
from tests import factories

from .pages import text

SEPARATED = re.compile(r"(?<![\d,])\d{1,3}(?:[,\u00a0]\d{3})+(?![\d,])")
SPOKEN = {"title", "aria-label", "alt", "placeholder", "content"}
LISTS = re.compile(r"unfold=[\d,]+")
DRAWN = {"d", "points", "viewbox", "transform"}
"""What draws has lists of numbers."""


class Attributes(HTMLParser):
    def __init__(self, source):
        super().__init__()
        self.separated = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            value = LISTS.sub("", value or "")
            if name not in SPOKEN | DRAWN and SEPARATED.search(value):
                self.separated.append(f"{tag} {name}={value}")


@pytest.mark.django_db
@pytest.mark.timeout(240)
def test_no_attribute_has_separators(settings, client_of):
    settings.USE_THOUSAND_SEPARATOR = True
    Workflow.objects.create(pk=123_456, name="large.NUMBERS")
    made = situation.make()
    pages = dict([*take.pages(made), *further_pages.further_pages(made), *tasks.pages(*tasks.CHECKED)])
    pages["live"] = pages["run-running"].replace("/change/", "/live/")
    client = Client()
    client.force_login(factories.make_admin())
    found = {name: Attributes(text(client.get(address))).separated for name, address in pages.items()}
    wrong = [f"{name}: {line}" for name, lines in found.items() for line in lines]
    assert not wrong, "\n".join(wrong)
