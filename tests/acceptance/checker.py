"""What must hold after every test, whatever was done to workers, brokers and databases.

One function for each rule of the fault plan, (a) to (i), and (j) for the limits of `concurrency`; each yields what
it finds, with the place. Rule (g) needs more than one look: see ``queues``. What happened is told by the rows, and
by a history: lines of ``tests.testapp.history`` (what workers say in signals) or of ``audit`` (what the
database's own triggers saw); both have the same keys.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from django_director.engine.flow import item_rows
from django_director.engine.lineage import descendants
from django_director.engine.outbox import STRIDE
from django_director.graph import Graph, Node, expand, items, replay, start_of
from django_director.models import Run, Task
from django_director.status import (
    RUN_FINISHED,
    TASK_BROKEN,
    TASK_FINISHED,
    TASK_TRANSITIONS,
    RunStatus,
    Stop,
    TaskStatus,
)

Line = dict[str, Any]

_RECORD = re.compile(r"^\[[^\]]*: (?P<level>[A-Z]+)/")
_TASK_FAILED = re.compile(r"Task \S+\[\S+\] raised unexpected: ")


class Violation(NamedTuple):
    """A broken promise."""

    rule: str
    """The letter of the fault plan."""
    where: str
    what: str

    def __str__(self) -> str:
        return f"({self.rule}) {self.where}: {self.what}"


def check_run(run: Run) -> None:
    """An outcome, gates as the rows say, and no task started before what it waits for had ended."""
    runs = Run.objects.filter(pk__in=[run.pk, *descendants(run.pk)]).select_related("workflow", "version")
    assert_none([*family(runs), *(found for one in runs for found in _of_run(one))])


def _of_run(run: Run) -> Iterator[Violation]:
    yield from [*outcome(run), *gates(run), *order(run), *items_order(run), *statuses(run)]


def check_history(path: Path, undone_claims: int = 0) -> None:
    """No two claims of one message, one success per task and generation, one outcome per run and generation.

    A crash of PostgreSQL may undo claims of its last moments: of ``undone_claims`` messages there may be more.
    """
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    repeated = list(claims(lines))
    assert_none([*(repeated if len(repeated) > undone_claims else ()), *commits(lines)])


def executions(path: Path) -> Counter[str]:
    """How often TRACE really ran, by task id."""
    return Counter(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else Counter()


def outcome(run: Run, within: float | None = None) -> Iterator[Violation]:
    """(a) A started run has an outcome, ``within`` seconds of its creation if given."""
    rows = Counter(_steps(run).values_list("status", flat=True))
    if not run.is_finished:
        yield Violation("a", name_of(run), f"no outcome: {run.shown_status}, tasks {dict(rows)}")
        return
    moving = {status: rows[status] for status in ("queued", "running", "waiting") if rows[status]}
    if moving:
        yield Violation("a", name_of(run), f"{run.status}, but tasks are {moving}")
    if within is not None and run.duration is not None and run.duration > within:
        yield Violation("a", name_of(run), f"its outcome took {run.duration:.1f} s, the limit is {within:g} s")


def statuses(run: Run) -> Iterator[Violation]:
    """(a) The outcome is the one that the tasks' statuses mean."""
    rows = set(_steps(run).values_list("status", flat=True))
    forgiven = set(expand(run.version.graph.forgiven))
    failed = set(_steps(run).failed().values_list("position", flat=True))
    rows -= {TaskStatus.FAILED} if failed <= forgiven else set()
    if run.status == RunStatus.SUCCESS and not rows <= {TaskStatus.SUCCESS, TaskStatus.SKIPPED}:
        yield Violation("a", name_of(run), f"success, with tasks {sorted(rows)}")
    if run.status == RunStatus.FAILED and not rows & TASK_BROKEN:
        yield Violation("a", name_of(run), "failed, without a failed task")


def family(runs: Iterable[Run]) -> Iterator[Violation]:
    """(a) A step that waits for a child run has one, which knows of it; and no child run is without its step."""
    chosen = [run.pk for run in runs]
    steps = Task.objects.filter(run__in=chosen).steps().awaiting_child()
    columns = ("child_run", "pk", "step", "run", "run__workflow__name")
    waiting = {child_id: row for child_id, *row in steps.values_list(*columns)}
    children = Run.objects.filter(parent_task__run__in=chosen)
    parent = ("parent_task__step", "parent_task__run", "parent_task__run__workflow__name")
    found = children.values_list("pk", "parent_task", "is_awaited", "status", "stop", *parent)
    own = {child_id: row for child_id, *row in found}
    for child_id, (task_id, *named) in waiting.items():
        if child_id not in own or own[child_id][:2] != [task_id, True]:
            yield Violation("a", _step_of(*named), f"waits for run {child_id} for ever")
    for child_id, (_, _, status, stopped, *named) in own.items():
        if status not in RUN_FINISHED and child_id not in waiting and stopped != Stop.STEP_TIMEOUT:
            yield Violation("a", _step_of(*named), f"lets run {child_id} be")


def _step_of(step: str, run: Any, workflow: str) -> str:
    return f"run {run} of {workflow}, step {step}"


def commits(history: Iterable[Line]) -> Iterator[Violation]:
    """(b) One committed result per task and generation, one outcome per run and generation."""
    results: Counter[tuple[str, int]] = Counter()
    outcomes: Counter[tuple[str, int]] = Counter()
    for line in history:
        if line["what"] == "end" and line["status"] == TaskStatus.SUCCESS:
            results[line["task"], line["sequence"] // STRIDE] += 1
        elif line["what"] == "outcome":
            outcomes[line["run"], line["generation"]] += 1
    for (task, generation), number in _repeated(results):
        yield Violation("b", f"task {task}", f"{number} results in generation {generation}")
    for (run, generation), number in _repeated(outcomes):
        yield Violation("b", f"run {run}", f"{number} outcomes in generation {generation}")


def claims(history: Iterable[Line]) -> Iterator[Violation]:
    """(c) No two claims of one (task, sequence)."""
    # A claim may be told twice: the row is read after the commit, by a worker that was frozen in between.
    tokens: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for line in history:
        if line["what"] == "claim":
            tokens[line["task"], line["sequence"]].add(line["claim"])
    for (task, sequence), found in tokens.items():
        if len(found) > 1:
            yield Violation("c", f"task {task}", f"sequence {sequence} was claimed {len(found)} times")


def order(run: Run) -> Iterator[Violation]:
    """(d) A successor starts after all its predecessors' commits, as the rows say."""
    found = _steps(run).nodes().values("position", "step", "started_at", "finished_at")
    rows = {row["position"]: row for row in found}
    # Nodes that wait for the same share one tuple: a group after a group must not cost n x m.
    ended: dict[int, datetime | None] = {}
    for node in run.version.graph.nodes:
        row = rows[node.position]
        if not node.upstream or row["started_at"] is None:
            continue
        key = id(node.upstream)
        if key not in ended:
            times = [rows[position]["finished_at"] for position in node.upstream]
            ended[key] = None if None in times else max(times)
        last = ended[key]
        if last is None or row["started_at"] < last:
            when = "nobody knows when" if last is None else f"{last:%H:%M:%S.%f}"
            yield Violation(
                "d",
                f"{name_of(run)}, step {row['step']}",
                f"started {row['started_at']:%H:%M:%S.%f}, before what it waits for had ended ({when})",
            )


def history_order(run: Run, history: Iterable[Line]) -> Iterator[Violation]:
    """(d) The same for every claim there ever was, and that its rule held; for a history in the right order."""
    graph = run.version.graph
    nodes = {str(task.pk): graph.nodes[task.position] for task in _steps(run).nodes().only("position")}
    status: dict[int, str] = dict.fromkeys(range(len(graph.nodes)), TaskStatus.PENDING)
    for settled, ranges in start_of(graph).found.settled.items():
        status |= dict.fromkeys(expand(ranges), settled)
    for line in history:
        node = nodes.get(line.get("task", ""))
        if node is None:
            continue
        if line["what"] == "claim" and (wrong := _claimed_wrongly(graph, status, node)):
            where = f"{name_of(run)}, step {node.step.id}"
            yield Violation("d", where, f"claimed as {line['sequence']} {wrong}")
        status[node.position] = line["status"]


def _claimed_wrongly(graph: Graph, status: dict[int, str], node: Node) -> str:
    early = [position for position in node.upstream if status[position] not in TASK_FINISHED]
    if early:
        return f"before positions {early[:5]} had ended"
    ready = replay(graph, status | {node.position: TaskStatus.PENDING}).found.ready
    if node.position in expand(ready):
        return ""
    return f"although {node.step.trigger_rule} does not hold: {[status[p] for p in node.upstream][:5]}"


def keys(run: Run, history: Iterable[Line]) -> Iterator[Violation]:
    """(b) A task has a new key as often as it ran again after a success, and no oftener."""
    replaced: Counter[str] = Counter()
    for line in history:
        if "task" in line and line.get("before") == TaskStatus.SUCCESS and line["status"] == TaskStatus.PENDING:
            replaced[line["task"]] += 1
    for task in _steps(run).nodes().only("step", "reruns"):
        if task.reruns != replaced[str(task.pk)]:
            where = f"{name_of(run)}, step {task.step}"
            yield Violation("b", where, f"{replaced[str(task.pk)]} successes replaced, {task.reruns} new keys")


def gates(run: Run) -> Iterator[Violation]:
    """(e) Gates equal gates recomputed from rows. A stopped run's are left as they were."""
    if run.stop:
        return
    graph = run.version.graph
    tallies = replay(graph, dict(_steps(run).nodes().values_list("position", "status"))).tallies
    stored = {gate.seq: (gate.remaining, gate.failed, gate.skipped) for gate in run.gates.all()}
    counts = {gate.seq: (gate.total, tallies[gate.seq]) for gate in graph.gates}
    computed = {seq: (total - tally.ended, tally.failed, tally.skipped) for seq, (total, tally) in counts.items()}
    for node in graph.maps.values():
        computed |= _counters(run, node)
    for seq in sorted(stored.keys() | computed.keys()):
        if stored.get(seq) != computed.get(seq):
            what = f"stored {stored.get(seq)}, from the rows {computed.get(seq)} (remaining, failed, skipped)"
            yield Violation("e", f"{name_of(run)}, gate {seq}", what)


def _counters(run: Run, node: Node) -> dict[int, tuple[int, int, int]]:
    """Those of a map's items, from the rows of their tasks."""
    count = run.tasks.get(position=node.position).map_count
    if count is None:
        return {}
    tallies = item_rows.read_items(run.pk, run.version.graph, node, count).tallies(node.position, count)
    totals = items.totals(node.position, count)
    return {n: (total - tallies[n].ended, tallies[n].failed, tallies[n].skipped) for n, total in totals}


def items_order(run: Run) -> Iterator[Violation]:
    """(d) The same inside of maps: in the order of each item's chain."""
    graph = run.version.graph
    for node in graph.maps.values():
        columns = ("map_index", "position", "started_at", "finished_at")
        ended: dict[int, datetime | None] = {}
        rows = item_rows.inside(run.pk, node).order_by("position", "map_index").values_list(*columns)
        for index, position, started, finished in rows.iterator():
            before = ended.get(index)
            if before is not None and started is not None and started < before:
                yield Violation(
                    "d", f"{name_of(run)}, {graph.node(position).step.id}[{index}]", "started too early"
                )
            ended[index] = finished


def wasted(history: Iterable[Line], executed: Counter[str], kills: int = 0) -> Iterator[Violation]:
    """(f) Executions - commits <= kills + lost leases: over all, and no execution of a task without a claim.

    ``executed``: how often the code of each task ran. A commit is any end of an attempt by its own worker; a
    line ``lost`` stands for one that the engine took from its worker.
    """
    claimed: Counter[str] = Counter()
    ended = lost = 0
    for line in history:
        claimed[line.get("task", "")] += line["what"] == "claim"
        ended += line["what"] == "end" or (line["what"] == "again")
        lost += line["what"] == "lost"
    for task, number in executed.items():
        if number > claimed[task]:
            yield Violation("f", f"task {task}", f"its code ran {number} times on {claimed[task]} claims")
    vain = executed.total() - ended
    if vain > kills + lost:
        yield Violation("f", "all tasks", f"{vain} executions in vain, {kills} kills and {lost} lost leases")


def slots(runs: Iterable[Run], interval: float = 0.0) -> Iterator[Violation]:
    """(h) One run per slot of a schedule; with an ``interval`` in seconds, slots within half of it are one."""
    by_schedule: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.schedule is not None and run.scheduled_for is not None:
            by_schedule[run.schedule].append(run)
    for schedule, found in by_schedule.items():
        found.sort(key=lambda run: run.scheduled_for)
        for earlier, later in pairwise(found):
            gap = (later.scheduled_for - earlier.scheduled_for).total_seconds()
            if gap == 0 or gap < interval / 2:
                what = f"runs {earlier.pk} and {later.pk} are {gap:g} s apart, at {later.scheduled_for}"
                yield Violation("h", f"schedule {schedule}", what)


def concurrency(runs: Iterable[Run]) -> Iterator[Violation]:
    """(j) Never more runs of a key between admission and end than the limit of their version, as the rows say.

    Runs that were retried are left out: their rows tell only of the first start and the last end.
    """
    by_key: defaultdict[tuple[int, str], list[Run]] = defaultdict(list)
    for run in runs:
        if run.concurrency_key is not None and run.started_at is not None and not run.generation:
            by_key[run.workflow_id, run.concurrency_key].append(run)
    for found in by_key.values():
        found.sort(key=lambda run: run.started_at)
        active: list[Run] = []
        for run in found:
            active = [other for other in active if other.finished_at is None or other.finished_at > run.started_at]
            active.append(run)
            limit = max(other.version.graph.definition.concurrency.limit for other in active)
            if len(active) > limit:
                others = ", ".join(str(other.pk) for other in active[:-1])
                yield Violation("j", name_of(run), f"began while {others} had not ended, the limit is {limit}")


def check_keys(runs: Iterable[Run]) -> None:
    """No limit was ever exceeded."""
    assert_none(list(concurrency(runs)))


def logs(
    text: str, where: str, expected: Iterable[str] = (), own_failures: Iterable[str] = ()
) -> Iterator[Violation]:
    """(i) No engine exception in a log: no error record, and no traceback, but those that are the tests' business.

    ``expected``: words of records that the faults bring about. ``own_failures``: words of the exceptions that the
    tests' tasks raise on purpose; without any, every failure of a task counts as one.
    """
    own = tuple(own_failures)
    for record in _records(text):
        level = _RECORD.match(record)
        is_error = level is not None and level["level"] in ("ERROR", "CRITICAL")
        if not is_error and "Traceback (most recent call last)" not in record:
            continue
        if any(word in record for word in expected):
            continue
        first = record.splitlines()[0]
        if _TASK_FAILED.search(first) and (not own or any(word in first for word in own)):
            continue
        yield Violation("i", where, " | ".join([first, *record.splitlines()[-1:]])[:500])


def transitions(history: Iterable[Line]) -> Iterator[Violation]:
    """(b) No task ever went from one status to another in a way that the engine's table does not have."""
    before: dict[str, str] = {}
    for line in history:
        task = line.get("task")
        if task is None:
            continue
        # The line knows best: what a map does for its items may have been removed and inserted anew since.
        old = line.get("before") or before.get(task)
        if old is not None and old != line["status"]:
            allowed = TASK_TRANSITIONS[TaskStatus(old)]
            if line["status"] not in allowed:
                yield Violation("b", f"task {task}", f"went from {old} to {line['status']}")
        before[task] = line["status"]


def _records(text: str) -> Iterator[str]:
    """Log records with the lines that belong to them."""
    record: list[str] = []
    for line in text.splitlines():
        if _RECORD.match(line) and record:
            yield "\n".join(record)
            record = []
        record.append(line)
    if record:
        yield "\n".join(record)


def _steps(run: Run) -> Any:
    return Task.objects.filter(run=run).steps().order_by("position")


def name_of(run: Run) -> str:
    return f"run {run.pk} of {run.workflow}"


def _repeated(counter: Counter[Any]) -> list[tuple[Any, int]]:
    return [(key, number) for key, number in counter.items() if number > 1]


def assert_none(found: Iterable[Violation]) -> None:
    """Nothing was found, or the test fails with all of it."""
    said = "\n".join(map(str, found))
    assert not said, said
