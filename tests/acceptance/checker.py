"""What must hold after every test, whatever was done to workers and brokers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from django_director.engine import reset
from django_director.models import Run, Task
from django_director.status import RunStatus, TaskStatus


def check_run(run: Run) -> None:
    """An outcome, gates as the rows say, and no task started before what it waits for had ended."""
    assert run.is_finished, f"{run.workflow} has no outcome: {run.shown_status}"
    rows = {row["position"]: row for row in _rows(run)}
    assert not [row["step"] for row in rows.values() if row["status"] in ("queued", "running", "waiting")]
    if not run.stop:
        _check_gates(run, {position: row["status"] for position, row in rows.items()})
    _check_order(run, rows)
    if run.status == RunStatus.SUCCESS:
        assert {row["status"] for row in rows.values()} <= {TaskStatus.SUCCESS}


def check_history(path: Path) -> None:
    """No two claims of one (task, sequence), one success per task, one outcome per run and generation."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    claims = Counter((line["task"], line["sequence"]) for line in lines if line["what"] == "claim")
    assert not _repeated(claims), f"claimed twice: {_repeated(claims)}"
    ends = Counter(line["task"] for line in lines if line["what"] == "end" and line["status"] == "success")
    assert not _repeated(ends), f"committed twice: {_repeated(ends)}"
    outcomes = Counter((line["run"], line["generation"]) for line in lines if line["what"] == "outcome")
    assert not _repeated(outcomes), f"ended twice: {_repeated(outcomes)}"


def executions(path: Path) -> Counter[str]:
    """How often TRACE really ran, by task id."""
    return Counter(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else Counter()


def _rows(run: Run) -> Any:
    return Task.objects.filter(run=run).steps().values("position", "step", "status", "started_at", "finished_at")


def _check_gates(run: Run, statuses: dict[int, str]) -> None:
    graph = run.version.graph
    tallies = reset.tally(graph, statuses)
    stored = {gate.seq: (gate.remaining, gate.failed) for gate in run.gates.all()}
    computed = {gate.seq: (gate.total - tallies[gate.seq].ended, tallies[gate.seq].failed) for gate in graph.gates}
    assert stored == computed, f"gates of {run.workflow}: stored {stored}, from the rows {computed}"


def _check_order(run: Run, rows: dict[int, dict[str, Any]]) -> None:
    # Nodes that wait for the same share one tuple: a group after a group must not cost n x m.
    ended: dict[int, Any] = {}
    for node in run.version.graph.nodes:
        row = rows[node.position]
        if not node.upstream or row["status"] != TaskStatus.SUCCESS:
            continue
        key = id(node.upstream)
        if key not in ended:
            ended[key] = max(rows[position]["finished_at"] for position in node.upstream)
        assert row["started_at"] >= ended[key], f"{row['step']} started before what it waits for had ended"


def _repeated(counter: Counter[Any]) -> list[Any]:
    return [key for key, number in counter.items() if number > 1]
