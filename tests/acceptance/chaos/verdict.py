"""After the faults: wait for every outcome, ask the checker, say what happened."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django_director.models import Attempt, Run, Task
from tests.acceptance import audit, checker
from tests.acceptance.checker import Violation
from tests.acceptance.queues import Queues
from tests.speed import crowding

from .load import Load
from .plan import HURTING
from .site import Site


class Verdict:
    """What the checker says of a site at rest."""

    def __init__(self, site: Site, load: Load, *, patience: float) -> None:
        self.site = site
        self.load = load
        self.patience = patience
        self._queues = Queues(datetime.now(UTC), site.capacity, crowding)
        self.rest = 0.0
        """Seconds from the end of the load to the last outcome."""
        self._late: dict[str, Violation] = {}
        self._history: list[dict[str, Any]] = []

    def watch(self, seconds: float) -> None:
        """Ask rule (g) again and again."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            self._look()

    def wait(self) -> None:
        """Until nothing moves, or patience ends; rule (g) is asked on the way."""
        began = time.monotonic()
        while self._moves() and time.monotonic() - began < self.patience:
            self._look()
        self.rest = time.monotonic() - began

    def _look(self) -> None:
        for violation in self._queues.look():
            self._late[violation.where] = violation
        time.sleep(0.5)

    def check(self) -> list[Violation]:
        """Everything the checker has."""
        history = self._history = audit.history()
        found = [*self._late.values(), *checker.commits(history), *checker.claims(history)]
        found += checker.transitions(history)
        found += checker.wasted(history, checker.executions(self._trace))
        by_run: dict[int, list[dict[str, Any]]] = {}
        for line in history:
            if "task" in line:
                by_run.setdefault(_run_key(line["task"]), []).append(line)
        runs = list(Run.objects.select_related("version", "workflow"))
        for run in runs:
            own = by_run.get(run.pk.int >> 24, [])
            for rule in (checker.outcome, checker.statuses, checker.order, checker.gates):
                found += rule(run)
            found += checker.history_order(run, own)
            found += checker.keys(run, own)
        found += checker.slots(runs, interval=1)
        found += checker.concurrency(runs)
        found += self._unexplained()
        found += self._logs()
        return found

    def summary(self) -> dict[str, Any]:
        what = Counter(line["what"] for line in self._history)
        return {
            "runs": Run.objects.count(),
            "outcomes": dict(Counter(Run.objects.values_list("status", flat=True))),
            "tasks": Task.objects.count(),
            "executions": checker.executions(self._trace).total(),
            "claims": what["claim"],
            "commits": what["end"],
            "tried again": what["again"],
            "lost": what["lost"],
            "lost leases": Attempt.objects.filter(outcome="lost", error__contains="gave no sign").count(),
            "kills and freezes": sum(map(len, self.site.hits.values())),
            "ended by themselves": self.site.restarted,
            "faults": dict(self.site.done),
            "operators": {**self.load.done, "refused": self.load.refused},
            "slowest outcome": round(max((run.duration or 0 for run in Run.objects.all()), default=0), 1),
            "at rest after": round(self.rest, 1),
        }

    @property
    def _trace(self) -> Path:
        return Path(os.environ["DIRECTOR_TEST_TRACE"])

    def _moves(self) -> bool:
        return (
            Run.objects.active().exists()
            or Task.objects.queued().filter(is_hook=True).exists()
            or Task.objects.running().exists()
        )

    def _unexplained(self) -> Iterator[Violation]:
        """(f) A lost attempt has a cause. A slow or absent database is none.

        Its worker was killed or frozen, its task ends its own process, or a foreign session held its rows, so that
        its lease could not be renewed. Or its worker was told to end while the database was away.
        """
        for attempt in Attempt.objects.filter(outcome="lost").select_related("task__run__workflow"):
            task = attempt.task
            causes = [*self.site.hits.get(attempt.worker, []), *self.site.locked.get(task.run_id, [])]
            is_hit = any(begin <= attempt.finished_at and attempt.started_at <= end for begin, end in causes)
            if not is_hit and task.name != "CHAOS_SIGNAL":
                where = f"run {task.run_id} of {task.run.workflow}, step {task.step}"
                what = f"lost by {attempt.worker} without a fault, {attempt.started_at:%H:%M:%S.%f} to "
                yield Violation("f", where, f"{what}{attempt.finished_at:%H:%M:%S.%f}: {attempt.error}")

    def _logs(self) -> Iterator[Violation]:
        from .__main__ import EXPECTED, SIGNALED

        expected = EXPECTED + SIGNALED if HURTING["signals"] in self.load.workflows else EXPECTED
        for program in self.site.programs:
            gave_up = getattr(program, "hostname", "") in self.site.gave_up
            own = ["Planned(", "OperationalError("] if gave_up else ["Planned("]
            yield from checker.logs(program.text(), program.log.name, expected, own_failures=own)


def _run_key(task: str) -> int:
    # The ids of a run's tasks follow its own, see `ids`.
    from uuid import UUID

    return UUID(task).int >> 24
