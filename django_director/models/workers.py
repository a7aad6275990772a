"""Workers that give signs of life, what they could not write, and the rows of which there is one for all."""

from __future__ import annotations

from typing import ClassVar  # noqa: F401

from django.db import models

from .columns import NAME_LENGTH
from .querysets import DirectorManager


class Lease(models.Model):
    """Who does a job that one process at a time shall do."""

    name = models.CharField(max_length=50, primary_key=True)
    holder = models.CharField(max_length=NAME_LENGTH)
    until = models.DateTimeField()
    beat_at = models.DateTimeField(help_text="When the holder last worked.")

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"


class Worker(models.Model):
    """A Celery worker that gives signs of life, from its start to its end."""

    key = models.BigIntegerField(primary_key=True, help_text="A random number, another one at each start.")
    name = models.CharField(max_length=NAME_LENGTH, help_text="The host name that Celery calls it by.")
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it gave its last sign of life.")
    is_watched = models.BooleanField(
        default=True, help_text="Whether its silence means that it is lost; else the leases of its tasks tell."
    )
    queues = models.JSONField(null=True, help_text="Names of the queues that it takes from; empty: not known.")

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class UnwrittenOutcome(models.Model):
    """What a worker could not write, for another session has locked the rows; the supervisor writes it later.

    That is what came of an attempt, or that a message was taken of a task that could not be claimed.

    It refers to nothing in the database's sense: a foreign key would wait for the same lock.
    """

    class End(models.TextChoices):
        SUCCESS = "success"
        FAILURE = "failure"
        RETRY = "retry"
        SKIP = "skip"
        HAND_BACK = "hand_back"
        LOSS = "loss"
        PUT_OFF = "put_off"
        OFFER = "offer"

    claim = models.BigIntegerField(primary_key=True, help_text="The claim of the attempt; negative for an offer.")
    task_id = models.UUIDField()
    run_id = models.UUIDField()
    end = models.CharField(max_length=10, choices=End.choices)
    content = models.JSONField(help_text="What that end needs: a result, or an error.")
    created_at = models.DateTimeField(db_index=True)

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.end} of task {self.task_id}"


class Installation(models.Model):
    """The one row that tells this database from those of other installations on the same broker."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    uid = models.CharField(max_length=32, help_text="Random; every message carries it.")

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()

    def __str__(self) -> str:
        return self.uid
