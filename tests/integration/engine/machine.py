"""What can happen to runs, in any order: a state machine over the real engine and real rows, in one process.

It plays broker, workers and people; after each step the rows must make sense, and at the end the supervisor alone
must bring every run home. Drawing is apart from doing, so that a test can also say what happens.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from django_director import engine
from django_director.definitions import Concurrency, Container, Definition, TaskStep
from django_director.dispatch import publisher
from django_director.dispatch.publisher import Message
from django_director.engine import pausing
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim, Ticket
from django_director.engine.attempts.failures import Failure
from django_director.engine.batches import unstarted
from django_director.engine.batches.claims import claim as claim_batch
from django_director.engine.batches.finish import Done, finish_together
from django_director.engine.concurrency import admission
from django_director.engine.steps import child_workflows, timers
from django_director.engine.supervisor import audit as audits
from django_director.engine.supervisor import leases, publishing, timeouts
from django_director.exceptions import Conflict
from django_director.models import Run, Task, Workflow, WorkflowVersion
from django_director.status import TASK_FINISHED, RunStatus, TaskStatus
from django_director.worker import inputs, own_steps
from tests.acceptance import audit, checker
from tests.factories import child, definition, group, make_workflow, mapped
from tests.random_definitions import CHILD, PAYLOAD, definitions

from . import driver, rows

PAST = "2026-01-01T00:00:00Z"
PARENT = "model.PARENT"
"""A workflow whose one step ``SHIP`` is a child run of ``CHILD``."""
KEYED = {
    "model.ONE": Concurrency(key="payload.key"),
    "model.TWO": Concurrency(limit=2),
    "model.SKIP": Concurrency(on_conflict="skip"),
    "model.NEWEST": Concurrency(on_conflict="cancel_running"),
}
HOOKS = {
    "failure": (TaskStep(id="hooks.failure", task="HOOK"), TaskStep(id="hooks.failure-2", task="HOOK")),
    "always": (TaskStep(id="hooks.always", task="HOOK"),),
}
MAX_RUNS = 8
"""More only make an example slow: each is looked at after each step."""

ROUNDS = 20
"""Ticks of the supervisor after which each run has its outcome: a task may be lost `MAX_CRASHES` times."""

sent: list[Message] = []
"""What the broker has."""

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


def is_not_full() -> bool:
    return Run.objects.count() < MAX_RUNS


class Engine(RuleBasedStateMachine):
    names: ClassVar[Counter[str]] = Counter()

    @initialize()
    def begin(self) -> None:
        Task.objects.all().delete()
        Run.objects.all().delete()
        Workflow.objects.update(current_version=None)
        WorkflowVersion.objects.all().delete()
        audit.empty()
        sent.clear()
        publisher.breaker.reset()
        make_workflow(definition(CHILD, "X"))
        make_workflow(definition(PARENT, child("SHIP", CHILD, timeout=3600)))
        self.watch = rows.Watch()
        self.deaf = False
        self.claimed: list[Claim] = []
        self.taken: Counter[tuple[Any, int]] = Counter()
        self.commits: Counter[tuple[Any, int]] = Counter()
        self.holder: dict[Any, int] = {}

    # Runs begin

    @precondition(lambda self: is_not_full())
    @rule(members=workflows, has_hook=st.booleans())
    def start(self, members: list[Any], has_hook: bool) -> None:
        self.launch(definition("", *members, hooks=HOOKS if has_hook else {}))

    @precondition(lambda self: is_not_full())
    @rule(drawn=definitions() | definitions(is_parent=True))
    def start_any(self, drawn: Definition) -> None:
        """Rules, conditions, needs, forgiven failures, and runs that fail fast."""
        self.launch(drawn)

    @precondition(lambda self: is_not_full())
    @rule(members=workflows)
    def start_fast(self, members: list[Any]) -> None:
        """Plain ones, for among all shapes hardly any has something left to cancel."""
        after = TaskStep(id="after", task="T", trigger_rule="always")
        self.launch(definition("", *members, after, "T", fail_fast=True))

    @precondition(lambda self: is_not_full())
    @rule()
    def start_family(self) -> None:
        """Child runs, and theirs."""
        inner = child("INNER", PARENT, timeout=3600)
        self.launch(definition("", group("G", inner, child("SHIP", CHILD, timeout=3600)), "T"))

    @precondition(lambda self: is_not_full())
    @rule(name=st.sampled_from(sorted(KEYED)), key=st.integers(1, 2), members=workflows, has_hook=st.booleans())
    def start_keyed(self, name: str, key: int, members: list[Any], has_hook: bool) -> None:
        self.launch_keyed(name, key, *members, hooks=HOOKS if has_hook else {})

    @precondition(lambda self: is_not_full())
    @rule(
        items=st.integers(0, 8),
        batch=st.integers(2, 4),
        parallel=st.sampled_from([None, 1, 2]),
        is_fast=st.booleans(),
    )
    def start_batches(self, items: int, batch: int, parallel: int | None, is_fast: bool) -> None:
        """Maps, and groups, of which one message takes several."""
        members = group("G", *(TaskStep(id=f"G{n}", task="T") for n in range(items)), batch=batch)
        each = mapped("M", "T", over=list(range(items)), batch=batch, max_parallel=parallel)
        self.launch(definition("", group("B", members, each), "T", fail_fast=is_fast))

    def launch(self, described: Definition) -> Run:
        """Start a run of a new workflow."""
        self.names["flow"] += 1
        name = f"model.W{self.names['flow']}"
        make_workflow(replace(described, name=name))
        return engine.start(name, PAYLOAD)

    def launch_keyed(self, name: str, key: int, *members: Any, **fields: Any) -> Run:
        """Start one that shares slots with others; each may have other steps than the one before."""
        make_workflow(definition(name, *members, concurrency=KEYED[name], **fields))
        return engine.start(name, {"key": key})

    # Messages

    @precondition(lambda self: sent)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: Any, again: bool) -> None:
        """Any message may come at any time, and again."""
        index = data.draw(st.integers(0, len(sent) - 1))
        self.receive(sent[index] if again else sent.pop(index))

    @precondition(lambda self: sent)
    @rule()
    def deliver_the_latest(self) -> None:
        """What mostly happens; among many old messages it would hardly be drawn."""
        self.receive(sent.pop())

    @precondition(lambda self: sent)
    @rule(data=st.data())
    def lose_message(self, data: Any) -> None:
        sent.pop(data.draw(st.integers(0, len(sent) - 1)))

    def receive(self, message: Message) -> list[Claim]:
        claims = _claim(message)
        for claimed in claims:
            self._take(claimed)
        return claims

    def _take(self, claimed: Claim) -> None:
        self.taken[(claimed.task_id, claimed.sequence)] += 1
        assert self.taken[(claimed.task_id, claimed.sequence)] == 1, "one message was claimed twice"
        run = Run.objects.get(pk=claimed.run.pk)
        assert claimed.is_hook or not run.paused_at, "a paused run started a task"
        before = Task.objects.filter(run_id=claimed.run.pk, is_hook=False, position__in=claimed.node.upstream)
        before = before.filter(map_index__in=(-1, claimed.map_index))
        unfinished = before.exclude(status__in=TASK_FINISHED)
        assert not unfinished.exists(), "it started before its predecessors had ended"
        self.claimed.append(claimed)
        self.holder[claimed.task_id] = claimed.token

    # Batches

    def _mates(self, claimed: Claim) -> list[Claim]:
        """The claims of its batch, as far as nothing has become of them."""
        if claimed.message_task is None:
            return []
        mine = [one for one in self.claimed if one.message_task == claimed.message_task]
        return [one for one in mine if one.run == claimed.run and _batch_of(one) == _batch_of(claimed)]

    @precondition(lambda self: any(one.message_task for one in self.claimed))
    @rule(data=st.data(), late_copy=st.booleans(), is_last=st.booleans())
    def succeed_together(self, data: Any, late_copy: bool, is_last: bool) -> None:
        """A worker commits some tasks of a batch; it may be too late for one of them, and then for all."""
        first = data.draw(st.sampled_from([one for one in self.claimed if one.message_task]))
        mates = self._mates(first)
        chosen = mates[: data.draw(st.integers(1, len(mates)))]
        left = [one for one in mates if one not in chosen]
        now = datetime.now(UTC)
        done = [Done(one, {"token": one.token}, now, now) for one in chosen]
        were = [_is_running(one) and self.holder[one.task_id] == one.token for one in chosen]
        with self.hearing():
            written = finish_together(done, is_last=is_last and not left)
        assert written == all(were), "all or nothing"
        for one in chosen if written else ():
            self.commits[(one.task_id, one.token)] += 1
            assert self.commits[(one.task_id, one.token)] == 1
        if not late_copy:
            self.claimed = [one for one in self.claimed if one not in chosen]

    @precondition(lambda self: any(one.message_task for one in self.claimed))
    @rule(data=st.data(), late_copy=st.booleans())
    def put_back(self, data: Any, late_copy: bool) -> None:
        """A worker gives back what has not begun of a batch."""
        first = data.draw(st.sampled_from([one for one in self.claimed if one.message_task]))
        mates = self._mates(first)
        self._put_back(mates[data.draw(st.integers(0, len(mates) - 1)) :], late_copy=late_copy)

    def _put_back(self, chosen: list[Claim], *, late_copy: bool = False) -> None:
        if chosen:
            unstarted.put_back(chosen)
        if not late_copy:
            self.claimed = [one for one in self.claimed if one not in chosen]

    # Workers

    def _any_claim(self, data: Any, *, keep: bool) -> Claim:
        index = data.draw(st.integers(0, len(self.claimed) - 1))
        return self.claimed[index] if keep else self.claimed.pop(index)

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), late_copy=st.booleans())
    def succeed(self, data: Any, late_copy: bool) -> None:
        self.perform(self._any_claim(data, keep=late_copy))

    def perform(self, claimed: Claim) -> None:
        was_running = _is_running(claimed)
        if not inputs.evaluate_when(claimed):
            finish.skip(claimed, "`when` is false")
            return
        if claimed.node.kind in ("map", "workflow"):
            with self.hearing():
                driver.end(claimed, lambda _: None)
            return
        if claimed.node.passes_on:
            assert own_steps.perform(claimed) is own_steps.HELD
            return
        with self.hearing():
            finished = finish.finish(claimed, {"token": claimed.token})
        if finished and was_running:
            self.commits[(claimed.task_id, claimed.token)] += 1
            assert self.holder[claimed.task_id] == claimed.token, "somebody else's claim was finished"
            assert Task.objects.get(pk=claimed.task_id).result == {"token": claimed.token}
            assert self.commits[(claimed.task_id, claimed.token)] == 1

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), late_copy=st.booleans())
    def fail(self, data: Any, late_copy: bool) -> None:
        self.break_off(self._any_claim(data, keep=late_copy))

    def break_off(self, claimed: Claim) -> None:
        was_running = _is_running(claimed)
        with self.hearing():
            failed = finish.fail(claimed, Failure(error="ValueError: model"))
        if failed and was_running:
            assert self.holder[claimed.task_id] == claimed.token, "somebody else's claim was failed"

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), delay=st.sampled_from([0, 60]))
    def try_later(self, data: Any, delay: float) -> None:
        claimed = self._any_claim(data, keep=False)
        finish.retry_later(claimed, Failure(error="ValueError: again"), delay)
        self._put_back(self._mates(claimed))

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def hand_back(self, data: Any) -> None:
        claimed = self._any_claim(data, keep=False)
        finish.requeue(claimed)
        self._put_back(self._mates(claimed))

    @rule()
    def lose_all_leases(self) -> None:
        """Workers die, or seem to: their claims may still come back late."""
        Task.objects.running().update(lease_until=PAST)
        leases.expire_leases()

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def take_over(self, data: Any) -> None:
        """A worker seems dead, another has its task: by chance alone the fence would hardly be needed."""
        self.lose(self._any_claim(data, keep=True))

    def lose(self, lost: Claim) -> None:
        """Let another worker have a task."""
        Task.objects.running().filter(pk=lost.task_id, claim=lost.token).update(lease_until=PAST)
        if leases.expire_leases() and sent and sent[-1].task_id == lost.task_id:
            self.receive(sent.pop())

    @rule(deaf=st.booleans())
    def stop_hearing(self, deaf: bool) -> None:
        """Processes die when a child run has ended, before they can tell its step."""
        self.deaf = deaf

    @contextlib.contextmanager
    def hearing(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            if self.deaf:
                patch.setattr(child_workflows, "report", lambda child_id: False)
            yield

    # Time, and the supervisor

    @precondition(lambda self: _timed_children().exists())
    @rule(data=st.data())
    def time_out_child(self, data: Any) -> None:
        self.time_out(data.draw(st.sampled_from(list(_timed_children().order_by("pk")))))

    def time_out(self, run: Run) -> None:
        Run.objects.filter(pk=run.pk).update(deadline_at=PAST)
        timeouts.stop_overdue_runs()
        Run.objects.filter(pk=run.pk).update(deadline_at=None)

    @rule()
    def supervise(self) -> None:
        Task.objects.queued().update(next_dispatch_at=PAST)
        Task.objects.waiting().filter(not_before__isnull=False).update(not_before=PAST)
        Task.objects.waiting().filter(deadline_at__isnull=False).update(deadline_at=PAST)
        publishing.wake()
        timers.fire()
        publishing.publish_due()
        child_workflows.report_all(100)
        rows.check_pauses()
        assert pausing.follow_parents() == 0
        Run.objects.filter(status=RunStatus.PENDING).update(next_admission_at=PAST)
        admission.admit_due()
        audits.close_stopped()
        rows.check_stops()
        assert audits.audit() == 0, "a run had no outcome and nothing to do"

    # People

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def cancel_and_succeed(self, data: Any) -> None:
        """The last finish after a cancel, which is rare among all orders."""
        claimed = self._any_claim(data, keep=True)
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
        run = self._any_run(data)
        if run is not None:
            try:
                with self.hearing():
                    engine.cancel(run, force=force)
            except Conflict:
                assert run.is_finished or run.stop

    @rule(data=st.data())
    def pause(self, data: Any) -> None:
        run = self._any_run(data)
        if run is not None:
            try:
                engine.pause(run)
            except Conflict:
                assert run.parent_task_id or run.is_finished or run.stop or run.paused_at

    @rule(data=st.data())
    def resume(self, data: Any) -> None:
        run = self._any_run(data)
        if run is not None:
            try:
                engine.resume(run)
            except Conflict:
                assert run.parent_task_id or run.is_finished or run.stop or not run.paused_at

    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        run = self._any_run(data)
        if run is not None:
            try:
                engine.retry(run)
            except Conflict:
                holders = Run.objects.holding_slot().filter(workflow=run.workflow)
                is_full = run.workflow.name == "model.SKIP" and holders
                assert run.parent_task_id or run.status not in {RunStatus.FAILED, RunStatus.CANCELED} or is_full

    @rule(data=st.data(), verb=st.sampled_from(["rerun", "skip"]))
    def rerun_or_skip(self, data: Any, verb: str) -> None:
        """Of a run that has ended, mostly: of an active one it is refused."""
        ended = list(Run.objects.finished().select_related("version").order_by("pk"))
        run = data.draw(st.sampled_from(ended)) if ended else self._any_run(data)
        known = list(run.tasks.in_order()) if run is not None else []
        if known:
            self.steer(verb, data.draw(st.sampled_from(known)))

    def steer(self, verb: str, task: Task) -> None:
        """Rerun or skip a task, if that is possible."""
        run = task.run = Run.objects.select_related("version", "workflow").get(pk=task.run_id)
        before = {row.pk: row for row in run.tasks.all()}
        try:
            getattr(engine, verb)(task)
        except Conflict as conflict:
            may_skip = verb == "skip" and task.status in {TaskStatus.FAILED, TaskStatus.CANCELED}
            is_full = run.workflow.name == "model.SKIP"
            is_blocked = "as long as" in str(conflict) or "what is before it" in str(conflict)
            is_held = is_full or run.parent_task_id is not None or is_blocked
            assert not run.is_finished or task.is_hook or is_held or not may_skip
        else:
            rows.check_reset(run, task, verb, before)

    def _any_run(self, data: Any) -> Run | None:
        runs = list(Run.objects.select_related("version").order_by("pk"))
        return data.draw(st.sampled_from(runs)) if runs else None

    # What must hold

    @invariant()
    def slots_are_kept(self) -> None:
        rows.check_slots({name: concurrency.limit for name, concurrency in KEYED.items()})

    @invariant()
    def rows_make_sense(self) -> None:
        self.watch.look()

    def teardown(self) -> None:
        """All that is left: the supervisor, and a worker that does what it is told."""
        for run in Run.objects.active().unstopped().filter(paused_at__isnull=False, parent_task=None):
            engine.resume(run)
        for _ in range(ROUNDS):
            unheard = Run.objects.active() | Run.objects.reporting()
            if not unheard.exists() and not Task.objects.active().exists():
                break
            self.lose_all_leases()
            self.supervise()
            while sent:
                for claimed in _claim(sent.pop()):
                    driver.end(claimed, lambda claimed: None)
        left = [f"{run}: {run.shown_status}" for run in Run.objects.active()]
        assert not left, f"a run has no outcome: {left}"
        self.rows_make_sense()
        history = audit.history()
        checker.assert_none([*checker.transitions(history), *checker.commits(history), *checker.claims(history)])


def _claim(message: Message) -> list[Claim]:
    ticket = Ticket.parse(f"{message.task_id}-{message.sequence}", message.name, message.header)
    if message.size > 1:
        return claim_batch(ticket, "model").claims
    claimed = claims.claim(ticket, "model")
    return [] if claimed is None else [claimed]


def _batch_of(claimed: Claim) -> int:
    """The number that the tokens of a batch have in common."""
    return claimed.token - (claimed.node.position if claimed.map_index < 0 else claimed.map_index)


def _is_running(claimed: Claim) -> bool:
    return bool(Task.objects.running().filter(pk=claimed.task_id).exists())


def _timed_children() -> Any:
    return Run.objects.active().filter(is_awaited=True, deadline_at__isnull=False)
