"""Django's commands in processes of their own that begin with the modules imported that need no settings.

Such a process has settings, an exit code and streams of its own, as one from a shell has. It takes less time:
a short command spends most of it on imports. What is decided before Python runs (``-W``, ``PYTHONIOENCODING``)
needs a process from a shell.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

MODULES = [
    "celery.app.amqp",
    "celery.app.base",
    "django.contrib.auth.hashers",
    "django.core.management.commands.check",
    "django.forms",
    "django.template",
    "django_director.definitions",
    "django_director.graph",
]
"""What is imported once, for all processes."""


def manage(
    folder: Path, environment: Mapping[str, str], *words: str, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run one of Django's commands in ``folder``, as ``python -m django`` would with this environment alone.

    Raises ``subprocess.TimeoutExpired`` when it has not ended after ``timeout`` seconds; it is killed then.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    with tempfile.TemporaryDirectory() as streams:
        process = context.Process(target=_run, args=(folder, dict(environment), words, Path(streams)))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        out, error = ((Path(streams) / name).read_text() for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(words, process.exitcode or 0, out, error)


def _run(folder: Path, environment: dict[str, str], words: tuple[str, ...], streams: Path) -> None:
    for name, number in (("stdout", 1), ("stderr", 2)):
        with (streams / name).open("wb") as stream:
            os.dup2(stream.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [str(folder), *(path for path in paths if path)]
    sys.argv = ["django", *words]
    runpy.run_module("django", run_name="__main__", alter_sys=True)
