"""What becomes of the tasks of a batch whose process has ended, or whose message was dropped."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from django_director.engine.attempts.claim import of_row
from django_director.engine.batches import unstarted
from django_director.engine.batches.claims import block_ids
from django_director.engine.queries import read_to_end
from django_director.graph import Block
from django_director.models import Task

from . import leases, timeouts


class Batch(Protocol):
    """What must be known of a lost batch."""

    @property
    def run_id(self) -> UUID: ...
    @property
    def position(self) -> int: ...
    @property
    def item(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def running(self) -> UUID | None: ...


def write_down(batch: Batch, sequence: int, why: str, seconds: float | None) -> None:
    """End the attempts of a batch: that of the task that ran, and of those that were not committed before it.

    The tasks behind it are given back, for their code was not called. If nobody knows which one ran, any may be
    the one that ends its processes: all count as lost, and each runs alone then.
    """
    chosen = block_ids(batch.run_id, Block(batch.position, batch.item, batch.size))
    rows = Task.objects.filter(pk__in=chosen, sequence=sequence)
    last = batch.running if batch.running in chosen else None
    found = read_to_end(rows.running())
    if last is not None and (later := [task for task in found if task.pk > last]):
        unstarted.put_back([of_row(task) for task in later])
    for task in found:
        if last is None or task.pk < last or (task.pk == last and seconds is None):
            leases.mark_message_lost(task.pk, sequence, why)
        elif task.pk == last and seconds is not None:
            timeouts.time_out_message(task.pk, sequence, seconds)
    for task_id in rows.queued().values_list("pk", flat=True):
        leases.resend(task_id, sequence, why)
