"""The tables of workers, of the outcomes that they could not write, of leases, and of the installation."""

from __future__ import annotations

from typing import ClassVar  # noqa: F401

from django.db import models

from .columns import NAME_LENGTH
from .querysets import DirectorManager


class Lease(models.Model):
    """Names the process that does a job which only one process may do at a time."""

    name = models.CharField(max_length=50, primary_key=True)
    holder = models.CharField(max_length=NAME_LENGTH)
    until = models.DateTimeField()
    beat_at = models.DateTimeField(help_text="When the holder last worked.")

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"


class Worker(models.Model):
    """A Celery worker: the row exists from its start to its end, and the worker writes its signs of life there."""

    key = models.BigIntegerField(primary_key=True, help_text="A random number, another one at each start.")
    name = models.CharField(max_length=NAME_LENGTH, help_text="The host name that Celery calls it by.")
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it gave its last sign of life.")
    is_watched = models.BooleanField(
        default=True, help_text="Whether its silence means that it is lost; else the leases of its tasks tell."
    )
    queues = models.JSONField(null=True, help_text="Names of the queues that it takes from; empty: not known.")
    versions = models.JSONField(null=True, help_text="The versions of its programs, by their names.")

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class UnwrittenOutcome(models.Model):
    """An outcome that a worker could not write because another session has locked the rows.

    The supervisor writes it later. A row says how an attempt ended, or that a worker took the message of a task
    and could not claim the task. It has no foreign keys, because they would wait for the locked rows too.
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
    """The one row that identifies this database among the installations that use the same broker."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    uid = models.CharField(max_length=32, help_text="Random; every message carries it.")

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()

    def __str__(self) -> str:
        return self.uid
