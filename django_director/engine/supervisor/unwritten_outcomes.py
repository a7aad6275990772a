"""Write outcomes that were kept while another session had locked their rows, see ``attempts/unwritten``."""

from __future__ import annotations

from typing import Any, Final

from django_director.db.errors import is_of_data
from django_director.db.functions import Now, later
from django_director.db.lock_limits import bounded
from django_director.db.transactions import in_transaction, statement
from django_director.engine import outbox, parking
from django_director.engine.attempts import endings
from django_director.engine.attempts.claim import Claim, of_row
from django_director.engine.attempts.failures import Failure
from django_director.engine.attempts.unwritten_rows import End
from django_director.engine.avoided_runs import avoided_run_ids, work_on_each
from django_director.models import Task, UnwrittenOutcome

from . import leases

LOCK_SECONDS: Final = 0.1
"""How long each is waited for: it was locked a moment ago."""
LOOK_AGAIN: Final = 15.0
"""Seconds until a step of ours is done again that could not be done for a lock: each try costs ``ROW_SECONDS``."""


def write_all(limit: int) -> int:
    """Write kept outcomes whose rows are not locked any more, oldest first; return how many were written."""
    kept = (
        UnwrittenOutcome.objects.exclude(run_id__in=avoided_run_ids()).annotate(now=Now()).order_by("created_at")
    )
    return work_on_each(list(kept[:limit]), _write, lambda outcome: outcome.run_id)


def _write(kept: UnwrittenOutcome) -> bool:
    if kept.end == End.OFFER:
        with bounded(LOCK_SECONDS):
            return _offer_again(kept)
    # Not by `queries.read_to_end`, which leaves out runs that are avoided: what is not found here is dropped.
    running = Task.objects.running().filter(pk=kept.task_id, claim=kept.claim)
    task = statement(running.select_related("run__version").defer("run__payload").first)
    try:
        with bounded(LOCK_SECONDS):
            return _replace(kept, task)
    except Exception as error:
        if not is_of_data(error):
            raise
        kept.end, kept.content = End.FAILURE, {"error": f"the result could not be stored: {error}"}
        return _replace(kept, task)


@in_transaction()
def _offer_again(kept: UnwrittenOutcome) -> bool:
    """Let a task be sent again, as its message was taken while its row was locked; return whether it was."""
    UnwrittenOutcome.objects.filter(pk=kept.pk).delete()
    sent = Task.objects.filter(pk=kept.task_id, sequence=kept.content["sequence"], next_dispatch_at__gt=Now())
    sent = sent.filter(next_dispatch_at__lt=later(parking.PARKED))
    return bool(sent.queued().update(next_dispatch_at=outbox.UNSENT))


@in_transaction()
def _replace(kept: UnwrittenOutcome, task: Task | None) -> bool:
    """Write a kept outcome into the row of ``task`` and delete it; only delete it if ``task`` is ``None``."""
    gone, _ = UnwrittenOutcome.objects.filter(pk=kept.pk).delete()
    return bool(gone) and task is not None and _end(kept, task, of_row(task))


def _end(kept: Any, task: Task, claim: Claim) -> bool:
    content = kept.content
    match kept.end:
        case End.SUCCESS:
            return endings.write_success(claim, content["result"])
        case End.FAILURE:
            return endings.write_failure(claim, Failure(**content))
        case End.RETRY:
            passed = (kept.now - kept.created_at).total_seconds()
            return endings.write_retry(claim, Failure(**content["failure"]), content["delay"] - passed)
        case End.SKIP:
            return endings.write_skip(claim, content["reason"])
        case End.HAND_BACK:
            return endings.write_requeue(claim)
        case End.LOSS:
            return endings.write_loss(task, leases.loss(content["why"]))
        case _:
            return endings.suspend(claim, not_before=later(LOOK_AGAIN))
