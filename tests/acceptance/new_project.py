"""A project that `startproject` makes and a page of the documentation fills."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from .harness import ROOT

BLOCK: Final = re.compile(r"^`(?P<path>[\w/.]+)`[^\n]*:\n\n```\w+\n(?P<text>.*?)^```$", re.M | re.S)
"""A file as a page shows it."""
COMMAND: Final = re.compile(r"^\$ python (manage\.py .*)$", re.M)


class Project:
    """A project in a folder of its own, with an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("D")}
        self.environment |= {"PYTHONPATH": str(ROOT), "DJANGO_SUPERUSER_PASSWORD": "secret"}
        for name in ("CELERY_BROKER_URL", "PYTEST_CURRENT_TEST"):
            self.environment.pop(name, None)

    def python(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def take(self, page: str) -> None:
        """Write the files that a page shows; what it shows of the settings comes at their end."""
        for found in BLOCK.finditer(page):
            path = self.folder / found["path"]
            before = path.read_text() if path.name == "settings.py" else ""
            path.write_text(before + found["text"])


def make_project(folder: Path, name: str, app: str, page: str) -> Project:
    """A new project ``name`` with one ``app``, and with the files that ``page`` shows."""
    project = Project(folder)
    project.python("-m", "django", "startproject", name, ".")
    project.python("manage.py", "startapp", app)
    project.take(page)
    return project
