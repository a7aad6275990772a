"""What needs no worker, in the project with SQLite in memory: ``python -m benchmarks.fresh.alone FOLDER``.

Prints JSON: milliseconds for each step of a chain of 100 that runs in this process, wall and processor time, and
seconds that checking three workflows of a thousand steps takes after Django's own start.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.test.utils import override_settings  # noqa: E402

from django_director.testing import run_workflow  # noqa: E402

STEPS = 100
ROUNDS = 5
LARGE_STEPS = "".join(
    f"""\
    - S{number}:
        task: ITEM
        with:
          number: ${{{{ payload.number }}}}
"""
    for number in range(1000)
)
"""Of a large workflow, as people write them."""


def main(folder: Path) -> None:
    # What commands print is no answer.
    with contextlib.redirect_stdout(sys.stderr):
        found = measure(folder)
    print(json.dumps(found))


def measure(folder: Path) -> dict[str, tuple[float, float]]:
    file = folder / "large.yml"
    file.write_text("".join(f"bench.LARGE_{number}:\n  tasks:\n{LARGE_STEPS}" for number in range(3)))
    with override_settings(DIRECTOR={"WORKFLOWS": [file]}):
        check = seconds(lambda: call_command("checkworkflows"))
    call_command("migrate", verbosity=0)
    call_command("syncworkflows")
    return {
        "check": check,
        "local": measured(lambda: call_command("runworkflow", "bench.CHAIN_100", local=True)),
        "test": measured(lambda: run_workflow("bench.CHAIN_100")),
    }


def measured(call: Callable[[], object]) -> tuple[float, float]:
    """Medians for each step after a first call: wall and processor seconds."""
    call()
    taken = [seconds(call) for _ in range(ROUNDS)]
    return median(wall for wall, _ in taken) / STEPS, median(cpu for _, cpu in taken) / STEPS


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of a call."""
    wall, cpu = time.monotonic(), time.process_time()
    call()
    return time.monotonic() - wall, time.process_time() - cpu


main(Path(sys.argv[1]))
