"""Measure the embedded broker: ``python -m tests.acceptance.broker_measure [DATABASE_URL]``.

The database must be empty; without a URL it is a new SQLite file.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .test_broker import SEND, Site, until

NUMBER = 3000
PROBES = 40
IDLE = 20


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children that live (``ps`` would round to seconds)."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    ticks = 0
    for number in (pid, *children):
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


def throughput(site: Site) -> None:
    site.script(SEND + f"from tests.acceptance.broker_app import noop\nfor n in range({NUMBER}): noop.delay()")
    print(f"backlog of {NUMBER}, concurrency 2:", end=" ", flush=True)
    worker = site.worker()
    first, began = site.count("message"), time.monotonic()
    until(site.is_empty, "backlog done", 300)
    print(f"{first / (time.monotonic() - began):.0f} tasks/s")
    before = cpu_seconds(worker.pid)
    time.sleep(IDLE)
    print(f"idle worker: {(cpu_seconds(worker.pid) - before) / IDLE:.2%} of a core")


def latency(site: Site, name: str, pause: float, number: int) -> None:
    (site.out / "latency").unlink(missing_ok=True)
    site.script(
        "import time; from tests.acceptance.broker_app import stamp\n"
        f"for n in range({number}): stamp.delay(time.time()); time.sleep({pause})"
    )
    until(lambda: len(site.lines("latency")) == number, "probes done")
    values = [float(line) for line in site.lines("latency")]
    print(f"latency, {name}: p50 {statistics.median(values) * 1000:.0f} ms, worst {max(values) * 1000:.0f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        site = Site(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{out}/db.sqlite3", out)
        try:
            throughput(site)
            latency(site, "a message each 0.2 s", 0.2, PROBES)
            latency(site, "a message each 2 s", 2, PROBES // 4)
        finally:
            site.close()


if __name__ == "__main__":
    main()
