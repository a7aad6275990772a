"""Processes of contenders, and of the servers they use, as /proc shows them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from .places import ROOT

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
LISTENING = "0A"


class Program:
    """A program with everything it starts, in a session of its own; what it says goes to a log file."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path, cwd: Path = ROOT) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def stop(self, seconds: float = 10) -> None:
        """Ask it to end; kill it and its children when it does not."""
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


def worker_command(python: str, app: str, queue: str, number: int = 0) -> list[str]:
    """A Celery worker; the same for each contender. ``number`` tells apart several of one queue."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    options = ["-P", "prefork", "-c", "2", "--prefetch-multiplier", "4", *quiet]
    name = f"{queue}-{os.getpid()}-{number}@%h"
    return [python, "-m", "celery", "-A", app, "worker", *options, "-Q", queue, "-n", name]


def fields(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` after the command; raises ``OSError`` when the process is gone."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def cpu_of(stat: list[str]) -> float:
    """CPU seconds of a process and of those of its children that have ended: utime, stime, cutime, cstime."""
    return sum(int(value) for value in stat[11:15]) / TICKS


def tree(root: int) -> list[int]:
    """``root`` and its living descendants."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        with contextlib.suppress(OSError):
            children.setdefault(int(fields(pid)[1]), []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """CPU seconds of the whole tree, also of its members that have ended."""
    total = 0.0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += cpu_of(fields(pid))
    return total


def backends(database: str) -> dict[int, float]:
    """CPU seconds of each PostgreSQL process that serves ``database``, by its title.

    The server is shared: what others do is not counted, nor what the server does for all of its databases (WAL,
    checkpoints, accepting connections). A connection that ends takes its CPU along.
    """
    found = {}
    for pid in _pids():
        with contextlib.suppress(OSError):
            title = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if is_backend(title, database):
                found[pid] = cpu_of(fields(pid))
    return found


def is_backend(title: str, database: str) -> bool:
    """Is this the title of a process of ``database``: ``postgres: … USER DATABASE HOST(PORT) STATE``?"""
    return title.startswith("postgres: ") and database in title.split()


def memory(root: int) -> float:
    """PSS in MB of the whole tree: shared pages are divided among those that share them."""
    return sum(_pss(pid) for pid in tree(root)) / 1024


@contextlib.contextmanager
def memory_watched(root: int, every: float = 1.0) -> Iterator[list[float]]:
    """PSS in MB of the whole tree, at once and then each so many seconds until the end of the block."""
    seen, is_over = [memory(root)], threading.Event()

    def look() -> None:
        while not is_over.wait(every):
            seen.append(memory(root))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        is_over.set()
        watcher.join()
        seen.append(memory(root))


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def listener(port: int) -> int | None:
    """The process that listens at a port of this machine; of several of one server, the parent of all."""
    inodes = _listening(port)
    owners = [pid for pid in _pids() if _sockets(pid) & inodes] if inodes else []
    for pid in owners:
        with contextlib.suppress(OSError):
            if int(fields(pid)[1]) not in owners:
                return pid
    return None


def _pids() -> Iterator[int]:
    return (int(path.name) for path in PROC.iterdir() if path.name.isdigit())


def _listening(port: int) -> set[str]:
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{columns[9]}]")
    return found


def _sockets(pid: int) -> set[str]:
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for path in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(path.readlink()))
    return found
