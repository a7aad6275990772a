"""Rows for outcomes and offers that can't be written yet because another session has locked the task's row."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any
from uuid import UUID

from django_director.common import ids
from django_director.db.functions import Now
from django_director.db.transactions import WORKER_PATIENCE, transact
from django_director.models import UnwrittenOutcome

from .tickets import Ticket

End = UnwrittenOutcome.End


def insert(key: int, task_id: UUID, run_id: UUID, end: End, content: dict[str, Any]) -> None:
    """Insert a row under ``key``, unless it is there already: the answer to our own commit may have been lost."""
    row = {"task_id": task_id, "run_id": run_id, "end": end, "content": content, "created_at": Now()}
    transact(lambda: UnwrittenOutcome.objects.get_or_create(claim=key, defaults=row), patience=WORKER_PATIENCE)


def insert_offer(ticket: Ticket) -> None:
    """Note that the message of a locked task was taken in vain. Another one is sent when its row is free."""
    # No claim is negative, and there is one such row for each message: an earlier one must not stand for it.
    message_id = ids.message_id(ticket.task_id, ticket.sequence)
    key = -1 - (int.from_bytes(blake2b(message_id.encode(), digest_size=8).digest()) >> 1)
    insert(key, ticket.task_id, ticket.run_id, End.OFFER, {"sequence": ticket.sequence})
