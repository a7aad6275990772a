"""Runs several programs in one terminal: prints their lines with their names, and stops all of them at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import IO, Final

STOP_WITHIN: Final = 15.0
"""For how many seconds programs may take to stop by themselves before they are killed."""

PrintLine = Callable[[str, str], None]
"""A function that prints one line of a program; it gets the name of the program and the line."""


class Program:
    """A running program. It has its own session, so Ctrl-C reaches only the process that has started it."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def forward_lines(self, print_line: PrintLine) -> None:
        """Print the lines of the program until it ends."""
        output: IO[str] | None = self.process.stdout
        for line in output or ():
            print_line(self.name, line.rstrip("\n"))

    def kill(self) -> None:
        """Kill the program and all processes that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def ending(self) -> str:
        """How the program has ended, as the end of a sentence."""
        code = self.process.returncode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


class ProgramGroup:
    """Programs that run at the same time: when one of them ends, the caller stops the others."""

    def __init__(self, print_line: PrintLine) -> None:
        self._print_line = print_line
        self._lock = threading.Lock()
        self._events: SimpleQueue[Program | None] = SimpleQueue()
        self.programs: list[Program] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start another program. Raises ``OSError``."""
        program = Program(name, command, environment)
        self.programs.append(program)
        threading.Thread(target=program.forward_lines, args=(self._print_locked,), daemon=True).start()
        threading.Thread(target=self._watch, args=(program,), daemon=True).start()

    def ask_to_stop(self, *_: object) -> None:
        """Let ``wait`` return; the handler of a signal may call this."""
        self._events.put(None)

    def wait(self) -> Program | None:
        """Wait until a program has ended, and return it; ``None`` if ``ask_to_stop`` was called."""
        return self._events.get()

    def stop(self) -> None:
        """Ask all programs to stop; kill them after ``STOP_WITHIN`` seconds, or when ``ask_to_stop`` is called."""
        for program in self.programs:
            program.process.terminate()
        deadline = time.monotonic() + STOP_WITHIN
        with contextlib.suppress(Empty):
            while any(program.process.poll() is None for program in self.programs):
                if self._events.get(timeout=max(0.0, deadline - time.monotonic())) is None:
                    break
        for program in self.programs:
            program.kill()

    def _watch(self, program: Program) -> None:
        program.process.wait()
        self._events.put(program)

    def _print_locked(self, name: str, line: str) -> None:
        with self._lock:
            self._print_line(name, line)
