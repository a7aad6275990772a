"""Every command on a database without our tables: one line that says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import django_director

COMMANDS = Path(django_director.__file__).parent / "management" / "commands"
ARGUMENTS = {
    "initworkflows": ["{folder}/new"],
    "runworkflow": ["shop.ORDER"],
    "showworkflow": ["shop.ORDER"],
    "superviseworkflows": ["--once"],
    **{name: ["0123:A"] for name in ("approvetask", "reruntask", "skiptask")},
}
OF_RUNS = ("cancel", "pause", "resume", "retry", "relaunch")
ARGUMENTS |= {f"{verb}workflow": ["0123"] for verb in OF_RUNS} | {"showrun": ["0123"]}
NEED_NO_DATABASE = {"checkworkflows", "initworkflows"}
LEFT_OUT = {"directordev"}
"""It starts other programs, which say what they miss."""

SCRIPT = """
import io, json, sys
import django
from django.core.management import CommandError, call_command
django.setup()
said = {}
for name, *arguments in json.loads(sys.argv[1]):
    out = io.StringIO()
    try:
        call_command(name, *arguments, stdout=out, stderr=out)
        said[name] = out.getvalue()
    except CommandError as error:
        said[name] = f"CommandError: {error}"
    except SystemExit:
        said[name] = "SystemExit: " + out.getvalue()
print("SAID" + json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unmigrated")
    names = sorted({path.stem for path in COMMANDS.glob("*.py")} - {"__init__"} - LEFT_OUT)
    calls = [[name, *(part.format(folder=folder) for part in ARGUMENTS.get(name, []))] for name in names]
    url = f"sqlite:///{folder}/empty.sqlite3"
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(calls)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "SAID" in done.stdout, done.stderr
    return json.loads(done.stdout.rpartition("SAID")[2])


def test_each_command_says_what_to_do(said):
    assert len(said) > 15
    for name, text in said.items():
        if name in NEED_NO_DATABASE:
            assert not text.startswith(("CommandError", "SystemExit")), name
        elif name == "directorstatus":
            assert text.startswith("SystemExit: ")
            assert "the database lacks tables: run “manage.py migrate” (no such table" in text
            assert "no task waits" not in text
        else:
            assert text.startswith(
                "CommandError: run “manage.py migrate” first; the database says: no such table"
            ), text
            assert text.count("\n") == 0
