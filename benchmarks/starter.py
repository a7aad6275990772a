"""Starts one run in a process of its own, to see what that takes: ``python -m benchmarks.starter WORKFLOW``.

Prints JSON: seconds of the call, peak memory before and after it in MB, and the run's id.
"""

import json
import resource
import sys
import time

import django

django.setup()

from benchmarks import app  # noqa: E402, F401 - publishes
from django_director import start  # noqa: E402


def peak() -> float:
    """The most memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
