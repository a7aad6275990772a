"""Processes that start work when they are told to, each in the environment of its contender.

A question is a line of JSON on the standard input of the process, its answer a line on its standard output. The
processes of other environments use this module too: the standard library only.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

READY = 120.0
"""Seconds in which a process must be ready for its first question."""

Words = dict[str, Any]


class Driver:
    """The benchmark's side: a process that answers questions, in order. What else it says goes to ``log``."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path, cwd: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True
            )
        try:
            self._read(READY)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, question: Words, seconds: float) -> Words:
        """The answer. Raises ``TimeoutError`` after ``seconds``, ``RuntimeError`` when the process has ended."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._read(seconds)

    def stop(self, seconds: float = 0) -> None:
        """Let it end by itself for ``seconds``, then kill it: it may be busy with a message that has no end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self, seconds: float) -> Words:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            raise TimeoutError(f"no answer in {seconds:.0f} s\n{self._tail()}")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the driver has ended\n{self._tail()}")
        return cast("Words", json.loads(line))

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])


def serve(answer: Callable[[Words], Words]) -> None:
    """The other side: answer each question until there are no more. An error ends the process."""
    # What a library prints is no answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)
