"""What the model test asks for is asked sharply: for each way to break the engine there is a story that tells.

A story is a few events of the state machine. As the engine is, nothing is found; with the mutant exactly what the
story is about is, so that a mutant that can't even be called is no success.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from django_director import engine
from django_director.db.compiled import UUID_FIELD, Param, Update
from django_director.engine import outbox, pausing, stopping, transitions
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import endings, finish, finish_fast
from django_director.engine.attempts.claim import Claim, Ticket
from django_director.engine.concurrency import admission
from django_director.engine.flow import advance, gates, items
from django_director.engine.launch import start
from django_director.engine.reset import recompute
from django_director.engine.steps import child_workflows
from django_director.engine.supervisor import publishing
from django_director.graph import Graph, Tally
from django_director.models import Run, Task
from django_director.status import TaskStatus
from tests.factories import child, definition, group, mapped, step
from tests.random_definitions import CHILD

from .machine import PAST, Engine, sent

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("modeled"),
    pytest.mark.slow,
]


class Story(Engine):
    """The machine without its dice."""

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def run(self, *tasks: Any, **fields: Any) -> Run:
        return self.launch(definition("", *tasks, **fields))

    def take(self, label: str) -> Claim:
        """Deliver the last message for a task."""
        labels = {task.pk: task.label for task in Task.objects.all()}
        message = [message for message in sent if labels[message.task_id] == label][-1]
        sent.remove(message)
        (claimed,) = self.receive(message) or (None,)
        assert claimed is not None, f"{label} was not claimed"
        return claimed

    def do(self, *labels: str) -> None:
        """Let tasks succeed, one after the other."""
        for label in labels:
            self.perform(self.take(label))
            self.look()

    def broken(self, label: str) -> None:
        """Let a task fail."""
        self.break_off(self.take(label))
        self.look()

    def look(self) -> None:
        self.slots_are_kept()
        self.rows_make_sense()


def late_success(story: Story) -> None:
    story.run("A")
    first = story.take("A")
    story.lose(first)
    story.perform(first)


def late_failure(story: Story) -> None:
    story.run("A")
    first = story.take("A")
    story.lose(first)
    story.break_off(first)


def handed_back(story: Story) -> None:
    story.run("A")
    finish.requeue(story.take("A"))
    story.supervise()
    story.do("A")


def a_member_fails(story: Story) -> None:
    story.run(group("G", "A", "B"), "C")
    story.broken("A")


def a_member_is_skipped(story: Story) -> None:
    story.run(group("G", step("A", when=False), "B"), "C")
    story.do("A")


def a_run_fails_fast(story: Story) -> None:
    story.run(group("G", "A", "B"), fail_fast=True)
    story.broken("A")


def a_message_is_lost(story: Story) -> None:
    story.run("A")
    sent.clear()


def a_message_comes_in_a_pause(story: Story) -> None:
    engine.pause(story.run("A"))
    story.receive(sent.pop())


def nobody_hears_of_an_end(story: Story) -> None:
    story.run(child("SHIP", CHILD))
    story.do("SHIP")
    story.deaf = True
    story.do("X")
    story.deaf = False


def a_parent_is_canceled(story: Story) -> None:
    run = story.run(child("SHIP", CHILD))
    story.do("SHIP")
    story.take("X")
    engine.cancel(run)
    story.look()
    story.supervise()


def a_late_worker_wants_a_child(story: Story) -> None:
    run = story.run(child("SHIP", CHILD))
    late = story.take("SHIP")
    engine.cancel(run, force=True)
    story.perform(late)
    story.look()


def a_child_ends_after_its_time(story: Story) -> None:
    story.run(group("G", child("SHIP", CHILD, timeout=3600), "B"), "C")
    story.do("SHIP")
    claimed = story.take("X")
    story.time_out(Run.objects.get(is_awaited=True))
    story.supervise()
    story.perform(claimed)
    story.supervise()
    story.look()


def a_parent_is_paused(story: Story) -> None:
    run = story.run(child("SHIP", CHILD))
    story.do("SHIP")
    engine.pause(run)
    story.supervise()


def two_of_a_key(story: Story) -> None:
    for _ in range(2):
        story.launch_keyed("model.ONE", 1, "A")
        story.look()
    story.do("A")


def canceled_with_something_left(story: Story) -> None:
    run = story.run("A", "B")
    claimed = story.take("A")
    engine.cancel(run)
    story.perform(claimed)


def the_last_task_ends_after_a_cancel(story: Story) -> None:
    run = story.run("A")
    claimed = story.take("A")
    engine.cancel(run)
    story.perform(claimed)
    story.look()


def an_item_fails(story: Story) -> None:
    story.run(mapped("M", over=[1, 2]))
    story.do("M")
    story.broken("M[0]")


def one_item_at_a_time(story: Story) -> None:
    story.run(mapped("M", over=[1, 2, 3], max_parallel=1))
    story.do("M", "M[0]")


def an_item_goes_on(story: Story) -> None:
    story.run(mapped("M", "S", "T", over=[1]))
    story.do("M", "S[0]")


def a_chain_goes_on(story: Story) -> None:
    story.run("A", "B")
    story.do("A")


def a_chain_is_rerun(story: Story) -> None:
    run = story.run("A", "B")
    story.do("A", "B")
    story.steer("rerun", run.tasks.get(step="A"))


def a_group_is_rerun(story: Story) -> None:
    run = story.run(group("G", "A", "B"), "C")
    story.do("A", "B", "C")
    story.steer("rerun", run.tasks.get(step="A"))
    story.look()


def _without_fence(claimed: Claim) -> Any:
    return Task.objects.filter(pk=claimed.task_id).running()


def _succeeding_without_fence(limited: bool) -> Update:
    running = Task.objects.filter(pk=Param("task", UUID_FIELD)).running()
    result = Param("result", Task._meta.get_field("result"))
    return Update(running, **transitions.succeeded(result))


def _without_counting_failures(run_id: Any, seq: int, arrival: Any) -> Any:
    arrival.failed = 0
    return settle_count(run_id, seq, arrival)


def _without_counting_skips(run_id: Any, seq: int, arrival: Any) -> Any:
    arrival.skipped = 0
    return settle_count(run_id, seq, arrival)


def _items_without_counting_failures(run_id: Any, number: int, tally: Any) -> Any:
    return items_count(run_id, number, Tally(tally.ended, 0, tally.skipped))


def _release_two(run: Any, graph: Any, node: Any, index: int) -> None:
    items_release(run, graph, node, index)
    items_release(run, graph, node, index)


def _take_though_paused(ticket: Ticket, *args: Any, **by: Any) -> Any:
    paused = Run.objects.filter(pk=ticket.run_id, paused_at__isnull=False)
    since = list(paused.values_list("paused_at", flat=True))
    paused.update(paused_at=None)
    rows = claims_take(ticket, *args, **by)
    Run.objects.filter(pk=ticket.run_id).update(paused_at=since[0] if since else None)
    return rows


def _begin_without_fence(claim: Claim, order: Any) -> None:
    Task.objects.filter(pk=claim.task_id).update(
        status=TaskStatus.WAITING, child_run=order.run_id, finished_at=None
    )
    start.insert(order)


def _end_whatever_the_stop(run: Any, graph: Any, outcome: Any) -> int:
    return int(Run.objects.filter(pk=run.pk).update(status=outcome, finished_at=PAST))


def _queued_as_before(sequence: int) -> dict[str, Any]:
    return queued_again(sequence - 1)


claims_take = claims._take
queued_again = transitions.queued_again
settle_count = gates._count
items_count, items_release = items._count, items.release_next

NO_OUTCOME = "a run has no outcome"
ACTIVE = "a finished run has an active task"
GATES = "the gates are not as the rows say"


class Mutant(NamedTuple):
    """A way to break the engine."""

    module: Any
    attribute: str
    instead: Any
    story: Callable[[Story], None]
    finding: str
    """What the model says of it."""


MUTANTS = {
    "finish without the fence": Mutant(
        finish_fast, "succeeding", _succeeding_without_fence, late_success, "somebody else's claim was finished"
    ),
    "fail without the fence": Mutant(
        endings, "_mine", _without_fence, late_failure, "somebody else's claim was failed"
    ),
    "a task is queued again with its old sequence": Mutant(
        transitions, "queued_again", _queued_as_before, handed_back, "one message was claimed twice"
    ),
    "joins forget failures": Mutant(gates, "_count", _without_counting_failures, a_member_fails, GATES),
    "joins forget what was skipped": Mutant(gates, "_count", _without_counting_skips, a_member_is_skipped, GATES),
    "fail_fast does not go on": Mutant(
        stopping, "_continue_spared", lambda stopped, run: None, a_run_fails_fast, NO_OUTCOME
    ),
    "nobody publishes again": Mutant(publishing, "publish_due", lambda *_: 0, a_message_is_lost, NO_OUTCOME),
    "a pause does not hold": Mutant(
        claims, "_take", _take_though_paused, a_message_comes_in_a_pause, "a paused run started a task"
    ),
    "a pause does not go down": Mutant(
        pausing,
        "follow_parent",
        lambda child_id: False,
        a_parent_is_paused,
        "a pause has not reached a child run",
    ),
    "nobody tells a step that its child run has ended": Mutant(
        child_workflows, "report_all", lambda limit: 0, nobody_hears_of_an_end, NO_OUTCOME
    ),
    "a stop does not go down": Mutant(
        stopping,
        "stop_children",
        lambda stopped, run_id, reason, force=False: None,
        a_parent_is_canceled,
        "a stop has not reached a child run",
    ),
    "a sweep takes steps that wait for child runs": Mutant(
        stopping, "_unstarted", lambda tasks: tasks.unstarted(), a_parent_is_canceled, "lets run .* be"
    ),
    "a child run starts for whoever asks": Mutant(
        child_workflows,
        "_begin",
        _begin_without_fence,
        a_late_worker_wants_a_child,
        ACTIVE,
    ),
    "a step is told by a child run that it does not wait for": Mutant(
        child_workflows, "_waits_for", lambda step, child: True, a_child_ends_after_its_time, ACTIVE
    ),
    "a limit is not asked for": Mutant(
        admission,
        "_free_slot",
        lambda run: admission._holders(run).count(),
        two_of_a_key,
        "more runs of a key than its limit",
    ),
    "nobody hands on": Mutant(
        admission, "admit_next", lambda run_id: None, two_of_a_key, "a run waits for a slot that is free"
    ),
    "a stopped run is not swept": Mutant(
        stopping,
        "sweep",
        lambda stopped, run_id, reason="", spared=(), maps=(): None,
        canceled_with_something_left,
        NO_OUTCOME,
    ),
    "the end does not ask whether the run was stopped": Mutant(
        advance,
        "end_run",
        _end_whatever_the_stop,
        the_last_task_ends_after_a_cancel,
        "a canceled run has another outcome",
    ),
    "items forget failures": Mutant(items, "_count", _items_without_counting_failures, an_item_fails, GATES),
    "an item that ends lets no other begin": Mutant(
        items,
        "release_next",
        lambda run, graph, node, index: None,
        one_item_at_a_time,
        "an item should be in work",
    ),
    "an item that ends lets two others begin": Mutant(
        items, "release_next", _release_two, one_item_at_a_time, "too many items are in work"
    ),
    "the tasks after an item's first are not queued": Mutant(
        outbox,
        "queue_item",
        lambda run, graph, index, position: None,
        an_item_goes_on,
        "a ready item was not queued",
    ),
    "successors are not queued": Mutant(
        outbox, "queue", lambda run, graph, ready: None, a_chain_goes_on, "a ready task was not queued"
    ),
    "a reset leaves what is downstream": Mutant(
        Graph,
        "downstream",
        lambda graph, chosen: set(chosen),
        a_chain_is_rerun,
        "a reset has left what is downstream",
    ),
    "a reset leaves the gates": Mutant(
        recompute, "write_gates", lambda run, graph, again: None, a_group_is_rerun, GATES
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_model_catches_a_mutant(name, monkeypatch):
    mutant = MUTANTS[name]
    # The mutants are of the transactions, which PostgreSQL has beside its single statements.
    monkeypatch.setattr(finish_fast, "can_pair", lambda: False)
    monkeypatch.setattr(claims, "can_pair", lambda: False)
    tell(mutant.story)
    monkeypatch.setattr(mutant.module, mutant.attribute, mutant.instead)
    with pytest.raises(AssertionError, match=mutant.finding):
        tell(mutant.story)


def tell(events: Callable[[Story], None]) -> None:
    story = Story()
    events(story)
    story.teardown()
