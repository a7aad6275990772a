"""Addresses and what is read from pages."""

import re
from html.parser import HTMLParser

from django.urls import reverse

from tests import factories


def address(page, *args):
    return reverse(f"admin:django_director_{page}", args=args)


def text(response):
    return response.content.decode()


def statuses(response):
    """The statuses of the boxes of the graph, by label."""
    found = re.findall(
        r'class="director-box director-(\w+)[^"]*" data-box.*?class="director-label"[^>]*>([^<]*)<', text(response)
    )
    return {label: status for status, label in found}


def messages(response):
    return [str(message) for message in response.context["messages"]]


class Page(HTMLParser):
    """Collects what a strict content security policy forbids, and the buttons that are shown."""

    VOID = frozenset({"script", "style"})

    def __init__(self, source):
        super().__init__()
        self.forbidden = []
        self.buttons = {}
        self.forms = []
        self.ids = []
        self._open = None
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self._open = tag
        if tag == "style" or (tag == "script" and "src" not in given and given.get("type") != "application/json"):
            self.forbidden.append(self.get_starttag_text())
        if "style" in given or any(name.startswith("on") for name in given):
            self.forbidden.append(self.get_starttag_text())
        if any(
            (given.get(name) or "").lower().startswith(("javascript:", "http:", "https:", "//"))
            for name in ("href", "src")
        ):
            self.forbidden.append(self.get_starttag_text())
        if "data-button" in given:
            self.buttons[given["data-button"]] = "hidden" not in given
        if tag == "form":
            self.forms.append(given)
        if "id" in given:
            self.ids.append(given["id"])


def shown_buttons(response):
    return {name for name, is_shown in Page(text(response)).buttons.items() if is_shown}


def order(name="shop.ORDER", **fields):
    """FETCH, then STOCK and PRICE beside each other, then SHIP."""
    return factories.make_workflow(
        factories.definition(name, "FETCH", factories.group("CHECKS", "STOCK", "PRICE"), "SHIP", **fields)
    )
