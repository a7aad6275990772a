"""Starts one run in a process of its own, to see what that takes: ``python -m benchmarks.starter WORKFLOW``.

Prints JSON: seconds of the call, peak memory before and after it in MB, and the run's id.
"""

import json
import sys
import time
from pathlib import Path

import django

django.setup()

from benchmarks import app  # noqa: E402, F401 - publishes
from django_director import start  # noqa: E402


def peak() -> float:
    """The most memory so far, in MB."""
    # Not `ru_maxrss`: that begins with the size of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024


def main(workflow: str) -> None:
    before = peak()
    # What a process does once: imports, connections to the database and the broker.
    start("bench.CHAIN_3")
    begun = time.monotonic()
    run = start(workflow)
    seconds = time.monotonic() - begun
    print(json.dumps({"seconds": seconds, "before": before, "peak": peak(), "run": str(run.pk)}))


if __name__ == "__main__":
    main(sys.argv[1])
