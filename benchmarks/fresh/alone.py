"""What needs no worker, in the project with SQLite in memory: ``python -m benchmarks.fresh.alone FOLDER``.

Prints JSON: milliseconds for each step of a chain of 100 that runs in this process, wall and processor time, and
seconds that checking three workflows of a thousand steps takes after Django's own start.
"""

from __future__ import annotations

import io
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
LARGE = 1000


def main(folder: Path) -> None:
    file = folder / "large.yml"
    steps = ", ".join(f"{{S{number}: {{task: NOOP}}}}" for number in range(LARGE))
    file.write_text("".join(f"bench.LARGE_{number}: {{tasks: [{steps}]}}\n" for number in range(3)))
    with override_settings(DIRECTOR={"WORKFLOWS": [file]}):
        check = seconds(lambda: call_command("checkworkflows", stdout=io.StringIO(), stderr=io.StringIO()))
    call_command("migrate", verbosity=0)
    call_command("syncworkflows", verbosity=0)
    local = measured(lambda: call_command("runworkflow", "bench.CHAIN_100", local=True, stdout=io.StringIO()))
    test = measured(lambda: run_workflow("bench.CHAIN_100"))
    print(json.dumps({"check": check, "local": local, "test": test}))


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
