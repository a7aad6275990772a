"""The rows of the broker. ``store`` and ``consumers`` say what is done with them."""

from __future__ import annotations

from django.db import models

NAME_LENGTH = 200


class Message(models.Model):
    """A message that waits in a queue, or is held by a consumer until it is settled."""

    id = models.BigAutoField(primary_key=True)
    queue = models.CharField(max_length=NAME_LENGTH)
    rank = models.PositiveSmallIntegerField(default=9)
    """9 minus the priority: the lowest rank leaves first, and among equals the oldest."""
    claimed_by = models.UUIDField(null=True)
    deliveries = models.PositiveIntegerField(default=0)
    body = models.TextField()

    class Meta:
        indexes = [
            # Serves both questions: what is free in this queue (NULL), and what is held by whom.
            models.Index(fields=["claimed_by", "queue", "rank", "id"], name="director_broker_message"),
        ]


class Binding(models.Model):
    """Messages of an exchange with this routing key go to this queue."""

    exchange = models.CharField(max_length=NAME_LENGTH)
    routing_key = models.CharField(max_length=NAME_LENGTH, blank=True)
    queue = models.CharField(max_length=NAME_LENGTH, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["exchange", "routing_key", "queue"], name="director_broker_binding"),
        ]


class TransientQueue(models.Model):
    """A queue that goes with its consumer, as those of remote control; all other queues need no row."""

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    owner = models.UUIDField(null=True)
    expires_at = models.DateTimeField()
    """Counts as long as there is no owner."""


class Consumer(models.Model):
    """Somebody who holds messages."""

    id = models.UUIDField(primary_key=True)
    machine = models.CharField(max_length=NAME_LENGTH)
    pid = models.BigIntegerField()
    started = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField()
    """Counts on other machines than its own."""
