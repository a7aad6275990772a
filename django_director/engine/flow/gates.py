"""Gates: the counters at which the members of a join, or the items of a map, arrive when they end.

One row counts how many members are still to come and what the others have come to. The last one opens the gate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, F, QuerySet
from django.db.models.expressions import Expression

from django_director.db.bulk_inserts import InsertMany
from django_director.db.compiled import INTEGER, UUID_FIELD, Param, Update, prepared
from django_director.graph import Graph, Junction, Tally
from django_director.models import Gate
from django_director.status import TaskStatus

_FAILED: Final = str(TaskStatus.FAILED)
_SKIPPED: Final = str(TaskStatus.SKIPPED)
"""A gate's columns are named after the statuses that they count."""
COUNTED: Final = (_FAILED, _SKIPPED)
COLUMNS: Final = ("seq", "remaining", *COUNTED)


class Counters:
    """The gates of one run in the database."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        self.closed: defaultdict[tuple[int, int], list[int]] = defaultdict(list)

    def count(self, junction: Junction, arrival: Tally) -> Tally | None:
        """Count members that have ended; return what all members came to if these were the last."""
        if not junction.has_gate:
            return arrival
        if arrival.ended == junction.total:
            # All members at once: nobody else can touch this gate, so many of them are written together.
            self.closed[arrival.failed, arrival.skipped].append(junction.seq)
            return arrival
        return _count(self.run_id, junction.seq, arrival)

    def close(self) -> None:
        """Write the gates whose members all ended at once."""
        for (failed, skipped), seqs in self.closed.items():
            _gates(self.run_id).filter(seq__in=seqs).update(remaining=0, failed=failed, skipped=skipped)


def insert_gates(run_id: UUID, graph: Graph, tallies: Sequence[Tally]) -> None:
    """Insert the gates of a run's joins, with what they have counted already: ``tallies``, by number."""
    _inserting().execute(gate_rows(graph, tallies), run=run_id)


def insert_counters(run_id: UUID, counters: Iterable[tuple[int, int, Tally]]) -> None:
    """Insert gates. Each is given by its number, by how many members it has, and by what it has counted."""
    rows = ((number, total - tally.ended, tally.failed, tally.skipped) for number, total, tally in counters)
    _inserting().execute(rows, run=run_id)


def gate_rows(graph: Graph, tallies: Sequence[Tally]) -> Iterator[tuple[int, ...]]:
    """Return the rows of a graph's joins: the values of ``COLUMNS`` for each."""
    counted = ((gate, tallies[gate.seq]) for gate in graph.gates)
    return ((gate.seq, gate.total - tally.ended, tally.failed, tally.skipped) for gate, tally in counted)


def parameters(arrival: Tally) -> dict[str, int]:
    """Return the members that have ended, as parameters of ``stays_closed`` and ``opens``."""
    return {"ended": arrival.ended, _FAILED: arrival.failed, _SKIPPED: arrival.skipped}


@prepared
def stays_closed() -> Update:
    """Return the statement that counts at a gate that stays closed.

    Parameters: ``run``, ``seq``, ``ended``, ``failed``, ``skipped``.
    """
    ended = Param("ended", INTEGER)
    return Update(_gate().filter(remaining__gt=ended), remaining=F("remaining") - ended, **_added())


def counting_success(condition: Expression | Exists) -> Update:
    """Return the statement that counts a success at a gate that stays closed, if ``condition`` holds.

    Parameters: ``run``, ``seq``.
    """
    return Update(_gate().filter(condition, remaining__gt=1), remaining=F("remaining") - 1)


@prepared
def opens() -> Update:
    """Return the statement that counts a gate's last members and opens it; parameters as of ``stays_closed``."""
    gate = _gate().filter(remaining=Param("ended", INTEGER))
    return Update(gate, remaining=0, **_added())


@prepared
def _inserting() -> InsertMany:
    return InsertMany(Gate, COLUMNS, run_id=Param("run", UUID_FIELD))


def _count(run_id: UUID, seq: int, arrival: Tally) -> Tally | None:
    values = {"run": run_id, "seq": seq, **parameters(arrival)}
    if stays_closed().execute(**values) or not opens().execute(**values):
        return None
    gate = _gates(run_id).get(seq=seq)
    return Tally(failed=gate.failed, skipped=gate.skipped)


def _added() -> dict[str, Any]:
    return {name: F(name) + Param(name, INTEGER) for name in COUNTED}


def _gate() -> QuerySet[Gate]:
    return Gate.objects.filter(run=Param("run", UUID_FIELD), seq=Param("seq", INTEGER))


def _gates(run_id: UUID) -> QuerySet[Gate]:
    return Gate.objects.filter(run_id=run_id)
