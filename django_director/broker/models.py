"""The tables of the broker. ``store`` and ``consumers`` read and write them."""

from __future__ import annotations

from django.db import models

NAME_LENGTH = 200


class Message(models.Model):
    """A message that waits in a queue, or is held by a consumer until it is settled."""

    id = models.BigAutoField(primary_key=True)
    queue = models.CharField(max_length=NAME_LENGTH)
    rank = models.PositiveSmallIntegerField(default=9)
    """9 minus the priority. The message with the lowest rank is delivered first, of several the oldest."""
    claimed_by = models.UUIDField(null=True)
    deliveries = models.PositiveIntegerField(default=0)
    body = models.TextField()

    class Meta:
        default_permissions = ()
        indexes = [
            # For two queries: the free messages of a queue (NULL), and the messages of a holder.
            models.Index(fields=["claimed_by", "queue", "rank", "id"], name="director_broker_message"),
        ]


class Binding(models.Model):
    """A rule that messages of an exchange with this routing key go to this queue."""

    exchange = models.CharField(max_length=NAME_LENGTH)
    routing_key = models.CharField(max_length=NAME_LENGTH, blank=True)
    queue = models.CharField(max_length=NAME_LENGTH, db_index=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["exchange", "routing_key", "queue"], name="director_broker_binding"),
        ]


class TransientQueue(models.Model):
    """A queue that is removed with its consumer, such as those of remote control. Other queues have no row."""

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    owner = models.UUIDField(null=True)
    expires_at = models.DateTimeField()
    """When the queue is removed, as long as it has no owner."""

    class Meta:
        default_permissions = ()


class Consumer(models.Model):
    """A holder of messages: one broker connection of a process."""

    id = models.UUIDField(primary_key=True)
    machine = models.CharField(max_length=NAME_LENGTH)
    pid = models.BigIntegerField()
    started = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField()
    """Until when the holder counts as living, for processes on other machines."""

    class Meta:
        default_permissions = ()
