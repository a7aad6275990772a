"""A site with the situation of the screenshots in a process of its own, and a visitor of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .browser import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Situation:
    """Where the situation is served: the address, an administrator's cookie, and the address of each page."""

    server: subprocess.Popen[str]
    site: str
    cookie: dict[str, str]
    pages: dict[str, str]
    pictured: list[str]
    """The pages that differ most: the others look like one of these."""

    def become_hostile(self) -> None:
        """Plant hostile texts in all rows."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write("hostile\n")
        self.server.stdin.flush()
        assert self.server.stdout.readline() == "\n"


@contextlib.contextmanager
def served_situation(settings: str, **environment: str) -> Iterator[Situation]:
    """Serve the situation of the screenshots with some settings, in a process of its own."""
    given = {"DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    server = subprocess.Popen(
        [sys.executable, "-m", "scripts.screenshots.serve"],
        cwd=ROOT,
        env=os.environ | given | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        assert line, "the server has not started: see its standard error above"
        yield Situation(server, **json.loads(line))
    finally:
        server.stdin.close()
        server.wait(timeout=20)


class Visitor:
    """A signed-in administrator with one window. What the browser complains of is collected."""

    def __init__(self, browser: Any, situation: Situation, **options: Any) -> None:
        self.site = situation.site
        self.complaints: list[str] = []
        self.context = browser.new_context(**options)
        self.context.add_cookies([situation.cookie | {"url": self.site}])
        self.window = self.context.new_page()
        self.window.set_default_timeout(PATIENCE)
        self.window.on("console", self._hear)
        self.window.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, address: str) -> Any:
        """Open a page; what it complains of is in ``complaints`` afterwards."""
        self.complaints.clear()
        response = self.window.goto(self.site + address)
        if response.status >= 400:
            self.complaints.append(f"status {response.status}")
        return self.window

    def show(self, width: int, scheme: str) -> None:
        """Make the window ``width`` pixels wide, and the system light or dark."""
        self.window.set_viewport_size({"width": width, "height": 900})
        self.window.emulate_media(color_scheme=scheme)
        # Django's links take some time to change their colours.
        self.window.evaluate(
            "document.getAnimations().forEach((each) => each instanceof CSSTransition && each.finish())"
        )

    def surplus(self, width: int) -> int:
        """Return how many pixels the page is wider than a window of that width."""
        self.window.set_viewport_size({"width": width, "height": 900})
        surplus = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.window.evaluate(surplus))

    def _hear(self, line: Any) -> None:
        if line.type == "error" and "favicon" not in str(line.location):
            self.complaints.append(f"{line.text} {line.location.get('url', '')}")
