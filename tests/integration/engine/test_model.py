"""The model test: any order of deliveries, duplicates, losses, crashes, cancels and retries leads to an outcome.

A rule-based state machine over the real engine and real rows, in one process. The test plays broker, workers and
people; after each step the rows must make sense, and at the end the supervisor alone must bring every run home.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from celery import current_app
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_director import dispatch, engine, inputs, ownsteps
from django_director.definitions.model import Concurrency, Container, Definition, TaskStep
from django_director.dispatch import Message
from django_director.engine import (
    admission,
    children,
    finish,
    hold,
    items,
    launch,
    outbox,
    recompute,
    recovery,
    settle,
    stop,
    success,
    timeouts,
    timers,
)
from django_director.engine import claim as claims
from django_director.engine.claim import Claim, Ticket
from django_director.engine.finish import Failure
from django_director.exceptions import Conflict
from django_director.graph import Graph, Tally
from django_director.models import Run, Task, Workflow, WorkflowVersion
from django_director.prepared import UUID_FIELD, Param, Update
from django_director.querysets import positions_in
from django_director.status import RUN_FINISHED, TASK_ACTIVE, TASK_FINISHED, RunStatus, Stop, TaskStatus
from tests.acceptance import checker
from tests.factories import child, definition, group, make_workflow
from tests.random_definitions import CHILD, PAYLOAD, definitions

from . import driver

pytestmark = pytest.mark.django_db(transaction=True)

PAST = "2026-01-01T00:00:00Z"
OUTCOMES = {
    Stop.CANCEL: RunStatus.CANCELED,
    Stop.STEP_TIMEOUT: RunStatus.CANCELED,
    Stop.FAIL_FAST: RunStatus.FAILED,
    Stop.SKIP: RunStatus.CANCELED,
}
sent: list[Message] = []
KEYED = {
    "model.ONE": Concurrency(key="payload.key"),
    "model.TWO": Concurrency(limit=2),
    "model.SKIP": Concurrency(on_conflict="skip"),
    "model.NEWEST": Concurrency(on_conflict="cancel_running"),
}

tasks = st.just("T").map(lambda name: TaskStep(id=name, task=name))
steps = st.recursive(
    tasks,
    lambda inner: st.builds(
        lambda kind, members: Container(id="c", kind=kind, members=tuple(members)),
        st.sampled_from(["group", "chain"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)
workflows = st.lists(steps, min_size=1, max_size=3)


HOOKS = {
    "failure": (TaskStep(id="hooks.failure", task="HOOK"), TaskStep(id="hooks.failure-2", task="HOOK")),
    "always": (TaskStep(id="hooks.always", task="HOOK"),),
}


class Engine(RuleBasedStateMachine):
    """What can happen to runs, in any order."""

    names: ClassVar[Counter[str]] = Counter()

    @initialize()
    def begin(self) -> None:
        Task.objects.all().delete()
        Run.objects.all().delete()
        Workflow.objects.update(current_version=None)
        WorkflowVersion.objects.all().delete()
        sent.clear()
        dispatch.breaker.reset()
        make_workflow(definition(CHILD, "X"))
        make_workflow(definition("model.PARENT", child("SHIP", CHILD), timeout=3600))
        self.deaf = False
        self.claimed: list[Claim] = []
        self.taken: Counter[tuple[Any, int]] = Counter()
        self.commits: Counter[tuple[Any, int]] = Counter()
        self.holder: dict[Any, int] = {}

    @rule(members=workflows, has_hook=st.booleans())
    def start(self, members: list[Any], has_hook: bool) -> None:
        self._start(definition("", *members, hooks=HOOKS if has_hook else {}))

    @rule(drawn=definitions() | definitions(is_parent=True))
    def start_any(self, drawn: Definition) -> None:
        """Rules, conditions, needs, forgiven failures, and runs that fail fast."""
        self._start(drawn)

    @rule(members=workflows)
    def start_fast(self, members: list[Any]) -> None:
        """Plain ones, for among all shapes hardly any has something left to cancel."""
        after = TaskStep(id="after", task="T", trigger_rule="always")
        self._start(definition("", *members, after, "T", fail_fast=True))

    @rule()
    def start_family(self) -> None:
        """Child runs, and theirs."""
        inner = child("INNER", "model.PARENT", timeout=3600)
        self._start(definition("", group("G", inner, child("SHIP", CHILD, timeout=3600)), "T"))

    @rule(name=st.sampled_from(sorted(KEYED)), key=st.integers(1, 2), members=workflows, has_hook=st.booleans())
    def start_keyed(self, name: str, key: int, members: list[Any], has_hook: bool) -> None:
        """Runs that share slots; each may have other steps than the one before."""
        hooks = HOOKS if has_hook else {}
        make_workflow(definition(name, *members, hooks=hooks, concurrency=KEYED[name]))
        engine.start(name, {"key": key})

    def _start(self, described: Definition) -> None:
        self.names["flow"] += 1
        name = f"model.W{self.names['flow']}"
        make_workflow(replace(described, name=name))
        engine.start(name, PAYLOAD)

    @precondition(lambda self: sent)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: Any, again: bool) -> None:
        """Any message may come at any time, and again."""
        index = data.draw(st.integers(0, len(sent) - 1))
        self._receive(sent[index] if again else sent.pop(index))

    @precondition(lambda self: sent)
    @rule()
    def deliver_the_latest(self) -> None:
        """What mostly happens; among many old messages it would hardly be drawn."""
        self._receive(sent.pop())

    def _receive(self, message: Message) -> None:
        claimed = claims.claim(Ticket.read(f"{message.task_id}-{message.sequence}", message.header), "model")
        if claimed is None:
            return
        self.taken[(claimed.task_id, claimed.sequence)] += 1
        assert self.taken[(claimed.task_id, claimed.sequence)] == 1, "one message was claimed twice"
        run = Run.objects.get(pk=claimed.run.pk)
        assert claimed.is_hook or not run.paused_at, "a paused run started a task"
        before = Task.objects.filter(run_id=claimed.run.pk, is_hook=False, position__in=claimed.node.upstream)
        before = before.filter(map_index__in=(-1, claimed.map_index))
        assert not before.exclude(status__in=TASK_FINISHED).exists(), (
            "it started before its predecessors had ended"
        )
        self.claimed.append(claimed)
        self.holder[claimed.task_id] = claimed.token

    @precondition(lambda self: sent)
    @rule(data=st.data())
    def lose_message(self, data: Any) -> None:
        sent.pop(data.draw(st.integers(0, len(sent) - 1)))

    def _claim(self, data: Any, *, keep: bool) -> Claim:
        index = data.draw(st.integers(0, len(self.claimed) - 1))
        return self.claimed[index] if keep else self.claimed.pop(index)

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), late_copy=st.booleans())
    def succeed(self, data: Any, late_copy: bool) -> None:
        claimed = self._claim(data, keep=late_copy)
        was_running = Task.objects.filter(pk=claimed.task_id, status=TaskStatus.RUNNING).exists()
        if not inputs.judge(claimed):
            finish.skip(claimed, "`when` is false")
            return
        if claimed.node.kind in ("map", "workflow"):
            with self._hearing():
                driver.end(claimed, lambda _: None)
            return
        if claimed.node.passes_on:
            assert ownsteps.perform(claimed) is ownsteps.HELD
            return
        with self._hearing():
            finished = finish.finish(claimed, {"token": claimed.token})
        if finished and was_running:
            self.commits[(claimed.task_id, claimed.token)] += 1
            assert self.holder[claimed.task_id] == claimed.token, "somebody else's claim was finished"
            assert Task.objects.get(pk=claimed.task_id).result == {"token": claimed.token}
            assert self.commits[(claimed.task_id, claimed.token)] == 1

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), late_copy=st.booleans())
    def fail(self, data: Any, late_copy: bool) -> None:
        claimed = self._claim(data, keep=late_copy)
        was_running = Task.objects.filter(pk=claimed.task_id, status=TaskStatus.RUNNING).exists()
        with self._hearing():
            failed = finish.fail(claimed, Failure(error="ValueError: model"))
        if failed and was_running:
            assert self.holder[claimed.task_id] == claimed.token, "somebody else's claim was failed"

    @rule(deaf=st.booleans())
    def stop_hearing(self, deaf: bool) -> None:
        """Processes die when a child run has ended, before they can tell its step."""
        self.deaf = deaf

    @contextlib.contextmanager
    def _hearing(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            if self.deaf:
                patch.setattr(children, "report", lambda child_id: False)
            yield

    @precondition(lambda self: Run.objects.active().filter(is_awaited=True, deadline_at__isnull=False).exists())
    @rule(data=st.data())
    def time_out_child(self, data: Any) -> None:
        runs = list(Run.objects.active().filter(is_awaited=True, deadline_at__isnull=False).order_by("pk"))
        chosen = data.draw(st.sampled_from(runs))
        Run.objects.filter(pk=chosen.pk).update(deadline_at=PAST)
        timeouts.stop_overdue_runs()
        Run.objects.filter(pk=chosen.pk).update(deadline_at=None)

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), delay=st.sampled_from([0, 60]))
    def try_later(self, data: Any, delay: float) -> None:
        finish.retry_later(self._claim(data, keep=False), Failure(error="ValueError: again"), delay)

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def hand_back(self, data: Any) -> None:
        finish.hand_back(self._claim(data, keep=False))

    @rule()
    def lose_all_leases(self) -> None:
        """Workers die, or seem to: their claims may still come back late."""
        Task.objects.running().update(lease_until=PAST)
        recovery.expire_leases()

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def take_over(self, data: Any) -> None:
        """A worker seems dead, another has its task: by chance alone the fence would hardly be needed."""
        lost = self._claim(data, keep=True)
        Task.objects.running().filter(pk=lost.task_id, claim=lost.token).update(lease_until=PAST)
        if recovery.expire_leases() and sent and sent[-1].task_id == lost.task_id:
            self._receive(sent.pop())

    @rule()
    def supervise(self) -> None:
        Task.objects.queued().update(next_dispatch_at=PAST)
        Task.objects.waiting().filter(not_before__isnull=False).update(not_before=PAST)
        Task.objects.waiting().filter(deadline_at__isnull=False).update(deadline_at=PAST)
        recovery.wake()
        timers.fire()
        recovery.publish_due()
        children.report_all(100)
        assert hold.follow_parents() == 0, "a pause has not reached a child run"
        Run.objects.filter(status=RunStatus.PENDING).update(next_admission_at=PAST)
        admission.admit_due()
        recovery.close_stopped()
        assert recovery.audit() == 0, "a run had no outcome and nothing to do"

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def cancel_and_succeed(self, data: Any) -> None:
        """The last finish after a cancel, which is rare among all orders."""
        claimed = self._claim(data, keep=True)
        with contextlib.suppress(Conflict):
            engine.cancel(Run.objects.get(pk=claimed.run.pk))
        finish.finish(claimed, {"token": claimed.token})

    @rule(data=st.data(), verb=st.sampled_from(["approve", "reject"]))
    def decide(self, data: Any, verb: str) -> None:
        """People decide on what they are asked, and at times on what they are not."""
        asked = list(Task.objects.asked().order_by("pk")) or list(Task.objects.order_by("pk")[:3])
        if not asked:
            return
        task = data.draw(st.sampled_from(asked))
        can = task.asked_at is not None and not task.run.stop
        try:
            decided = getattr(engine, verb)(task)
        except Conflict:
            assert not can, "nobody else has decided"
        else:
            assert task.asked_at is not None
            assert decided.status == (TaskStatus.SUCCESS if verb == "approve" else TaskStatus.FAILED)

    @rule(data=st.data(), force=st.booleans())
    def cancel(self, data: Any, force: bool) -> None:
        run = self._run(data)
        if run is not None:
            try:
                with self._hearing():
                    engine.cancel(run, force=force)
            except Conflict:
                assert run.is_finished or run.stop

    @rule(data=st.data())
    def pause(self, data: Any) -> None:
        run = self._run(data)
        if run is not None:
            try:
                engine.pause(run)
            except Conflict:
                assert run.parent_task_id or run.is_finished or run.stop or run.paused_at

    @rule(data=st.data())
    def resume(self, data: Any) -> None:
        run = self._run(data)
        if run is not None:
            try:
                engine.resume(run)
            except Conflict:
                assert run.parent_task_id or run.is_finished or run.stop or not run.paused_at

    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        run = self._run(data)
        if run is not None:
            try:
                engine.retry(run)
            except Conflict:
                is_full = run.workflow.name == "model.SKIP" and Run.objects.holding().filter(workflow=run.workflow)
                assert run.parent_task_id or run.status not in {RunStatus.FAILED, RunStatus.CANCELED} or is_full

    @rule(data=st.data(), verb=st.sampled_from(["rerun", "skip"]))
    def rerun_or_skip(self, data: Any, verb: str) -> None:
        """Of a run that has ended, mostly: of an active one it is refused."""
        ended = list(Run.objects.finished().select_related("version").order_by("pk"))
        run = data.draw(st.sampled_from(ended)) if ended else self._run(data)
        rows = list(run.tasks.in_order()) if run is not None else []
        if run is None or not rows:
            return
        task = data.draw(st.sampled_from(rows))
        task.run = run
        try:
            getattr(engine, verb)(task)
        except Conflict as conflict:
            may_skip = verb == "skip" and task.status in {TaskStatus.FAILED, TaskStatus.CANCELED}
            is_full = run.workflow.name == "model.SKIP"
            is_held = is_full or run.parent_task_id is not None or "as long as" in str(conflict)
            assert not run.is_finished or task.is_hook or is_held or not may_skip
        else:
            self._check_reset(run, task, verb, {row.pk: row for row in rows})

    def _check_reset(self, run: Run, task: Task, verb: str, before: dict[Any, Task]) -> None:
        """What had succeeded and runs again has a new key, and an attempt that tells of it; all else is kept."""
        downstream = run.version.graph.downstream([task.position])
        for row in run.tasks.steps():
            old = before[row.pk]
            if row.position not in downstream:
                assert (row.status, row.reruns, row.result) == (old.status, old.reruns, old.result)
                continue
            assert row.status != TaskStatus.SUCCESS
            assert row.reruns == old.reruns + (old.status == TaskStatus.SUCCESS)
            replaced = row.attempts.filter(outcome="replaced", generation=run.generation - 1).count()
            assert replaced == int(old.status == TaskStatus.SUCCESS and old.attempt > 0)
        status = Task.objects.get(pk=task.pk).status
        assert (
            status == TaskStatus.SKIPPED if verb == "skip" else status in {TaskStatus.QUEUED, TaskStatus.PENDING}
        )

    def _run(self, data: Any) -> Run | None:
        runs = list(Run.objects.select_related("version").order_by("pk"))
        return data.draw(st.sampled_from(runs)) if runs else None

    @invariant()
    def slots_are_kept(self) -> None:
        for name, concurrency in KEYED.items():
            runs = Run.objects.filter(workflow__name=name)
            held = Counter(runs.filter(status=RunStatus.RUNNING).values_list("concurrency_key", flat=True))
            assert not held or max(held.values()) <= concurrency.limit, "more runs of a key than its limit"
            for key in runs.wanting().values_list("concurrency_key", flat=True):
                assert held[key] == concurrency.limit, "a run waits for a slot that is free"

    @invariant()
    def rows_make_sense(self) -> None:
        for run in Run.objects.select_related("version"):
            statuses = set(run.tasks.steps().values_list("status", flat=True))
            graph = run.version.graph
            failed = run.tasks.steps().failed()
            broken = failed.exclude(positions_in(graph.forgiven)) if graph.forgiven else failed
            if run.status in RUN_FINISHED:
                assert not statuses & TASK_ACTIVE, "a finished run has an active task"
                assert run.status == OUTCOMES.get(run.stop, run.status), "a canceled run has another outcome"
            if run.status == RunStatus.SUCCESS:
                assert not statuses & {TaskStatus.CANCELED, TaskStatus.UPSTREAM_FAILED}
                assert not broken.exists()
            if run.status == RunStatus.FAILED:
                # What a cancel has left counts as failed after a rerun.
                assert broken.exists() or TaskStatus.CANCELED in statuses
            if not run.stop:
                driver.check_gates(run)
        assert list(checker.family(Run.objects.all())) == []

    def teardown(self) -> None:
        """All that is left: the supervisor, and a worker that does what it is told."""
        for run in Run.objects.active().filter(paused_at__isnull=False, stop="", parent_task=None):
            engine.resume(run)
        for _ in range(100):
            left = Run.objects.active() | Run.objects.reporting()
            if not left.exists() and not Task.objects.active().exists():
                break
            self.lose_all_leases()
            self.supervise()
            while sent:
                message = sent.pop()
                claimed = claims.claim(
                    Ticket.read(f"{message.task_id}-{message.sequence}", message.header), "model"
                )
                if claimed is not None:
                    driver.end(claimed, lambda claimed: None)
        assert not Run.objects.active().exists(), "a run has no outcome"
        self.rows_make_sense()


@pytest.fixture(autouse=True)
def broker(monkeypatch, settings):
    settings.DIRECTOR = {"MAX_CRASHES": 3}
    monkeypatch.setattr(dispatch, "_send", lambda message, producer: sent.append(message))
    monkeypatch.setattr(dispatch, "revoke", lambda ids: None)
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    dispatch._pool.cache_clear()
    yield
    dispatch._pool.cache_clear()


def check(examples: int, *, shrink: bool = True) -> None:
    run_state_machine_as_test(
        Engine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )


@pytest.mark.fault(19)
@pytest.mark.timeout(300)
def test_any_order_of_events_leads_to_an_outcome():
    check(25)


def _without_fence(claimed: Claim) -> Any:
    return Task.objects.filter(pk=claimed.task_id).running()


def _succeeding_without_fence() -> Update:
    running = Task.objects.filter(pk=Param("task", UUID_FIELD)).running()
    result = Param("result", Task._meta.get_field("result"))
    return Update(running, **finish._ended(TaskStatus.SUCCESS), result=result)


def _without_counting_failures(run_id: Any, seq: int, arrival: Any) -> Any:
    arrival.failed = 0
    return settle_count(run_id, seq, arrival)


def _without_counting_skips(run_id: Any, seq: int, arrival: Any) -> Any:
    arrival.skipped = 0
    return settle_count(run_id, seq, arrival)


def _items_without_counting_failures(run_id: Any, number: int, tally: Any) -> Any:
    return items_count(run_id, number, Tally(tally.ended, 0, tally.skipped))


def _release_two(run: Any, graph: Any, node: Any, number: int, first: int = 0) -> int:
    return items_release(run, graph, node, number + 1, first)


def _take_though_paused(ticket: Ticket, *args: Any) -> Any:
    paused = Run.objects.filter(pk=ticket.run_id, paused_at__isnull=False)
    since = list(paused.values_list("paused_at", flat=True))
    paused.update(paused_at=None)
    rows = claims_take(ticket, *args)
    Run.objects.filter(pk=ticket.run_id).update(paused_at=since[0] if since else None)
    return rows


def _begin_without_fence(claim: Claim, order: Any) -> None:
    Task.objects.filter(pk=claim.task_id).update(
        status=TaskStatus.WAITING, child_run=order.run_id, finished_at=None
    )
    launch.insert(order)


claims_take = claims._take
settle_count = settle._count
items_count, items_release = items._count, items.release

MUTANTS = {
    "finish without the fence": (success, "succeeding", _succeeding_without_fence),
    "fail without the fence": (finish, "_mine", _without_fence),
    "a task is queued again with its old sequence": (
        finish,
        "_queued_again",
        lambda sequence, original=finish._queued_again: original(sequence - 1),
    ),
    "joins forget failures": (settle, "_count", _without_counting_failures),
    "joins forget what was skipped": (settle, "_count", _without_counting_skips),
    "fail_fast does not go on": (stop, "_go_on", lambda run: 0),
    "nobody publishes again": (recovery, "publish_due", lambda: 0),
    "a pause does not hold": (claims, "_take", _take_though_paused),
    "nobody tells a step that its child run has ended": (children, "report_all", lambda limit: 0),
    "a stop does not go down": (stop, "stop_children", lambda run_id, reason, force=False: None),
    "a sweep takes steps that wait for child runs": (stop, "_unstarted", lambda tasks: tasks.unstarted()),
    "a child run starts for whoever asks": (children, "_begin", _begin_without_fence),
    "a step is told by a child run that it does not wait for": (children, "_waits_for", lambda step, child: True),
    "a pause does not go down": (hold, "follow_parent", lambda child_id: False),
    "a limit is not asked for": (admission, "_free_slot", lambda run: admission._holders(run).count()),
    "nobody hands on": (admission, "hand_on", lambda run_id: None),
    "a stopped run is not swept": (stop, "sweep", lambda run_id, reason="", spared=(), maps=(): 0),
    "items forget failures": (items, "_count", _items_without_counting_failures),
    "an item that ends lets no other begin": (items, "release", lambda run, graph, node, number, first=0: 0),
    "an item that ends lets two others begin": (items, "release", _release_two),
    "the tasks after an item's first are not queued": (outbox, "queue_items", lambda run, graph, places: None),
    "successors are not queued": (outbox, "queue", lambda run, graph, ready: None),
    "a reset leaves what is downstream": (Graph, "downstream", lambda graph, chosen: set(chosen)),
    "a reset leaves the gates": (recompute, "write_gates", lambda run, graph, again: None),
    "the end does not ask whether the run was stopped": (
        settle,
        "end",
        lambda run, graph, outcome: Run.objects.filter(pk=run.pk).update(status=outcome, finished_at=PAST),
    ),
}


SEEN = {
    "finish without the fence",
    "fail without the fence",
    "a task is queued again with its old sequence",
    "joins forget failures",
    "joins forget what was skipped",
    "fail_fast does not go on",
    "nobody publishes again",
    "a stopped run is not swept",
    "successors are not queued",
    "the end does not ask whether the run was stopped",
}
"""Those that the model was seen to catch since it knows the whole language."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SEEN else pytest.mark.unseen) for name in MUTANTS]
)
def test_the_model_catches_a_mutant(name, monkeypatch):
    module, attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(module, attribute, mutant)
    with pytest.raises(Exception, match=r".*"):
        check(400, shrink=False)
