"""Several programs in one terminal: their lines with a name in front, and all of them stopped together."""

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
"""Seconds that programs have to stop in good order before they are killed."""

Say = Callable[[str, str], None]
"""Called with a program's name and one line of it."""


class Program:
    """One program. It has a session of its own, so that Ctrl-C reaches only who started it."""

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

    def read(self, say: Say) -> None:
        """Hand on its lines until it ends."""
        output: IO[str] | None = self.process.stdout
        for line in output or ():
            say(self.name, line.rstrip("\n"))

    def kill(self) -> None:
        """End it and whatever it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def ending(self) -> str:
        """How it ended, as the end of a sentence."""
        code = self.process.returncode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


class Together:
    """Programs that live and end together."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._events: SimpleQueue[Program | None] = SimpleQueue()
        self.programs: list[Program] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start one more. Raises ``OSError``."""
        program = Program(name, command, environment)
        self.programs.append(program)
        threading.Thread(target=program.read, args=(self._locked_say,), daemon=True).start()
        threading.Thread(target=self._watch, args=(program,), daemon=True).start()

    def ask_to_stop(self, *_: object) -> None:
        """Let ``wait`` return; may be called by a signal's handler."""
        self._events.put(None)

    def wait(self) -> Program | None:
        """Wait until one has ended, and return it; ``None`` when somebody asked to stop."""
        return self._events.get()

    def stop(self) -> None:
        """Stop all in good order; after ``STOP_WITHIN`` seconds, or when asked once more, at once."""
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

    def _locked_say(self, name: str, line: str) -> None:
        with self._lock:
            self._say(name, line)
