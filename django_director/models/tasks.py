"""The tables of tasks, of their attempts and log lines, and of the counters of joins."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_director.common import ids
from django_director.db.indexes import PartialIndex
from django_director.definitions import HOOK_PREFIX, hook_label
from django_director.status import TASK_FINISHED, TASK_UNSUCCESSFUL, TaskStatus

from . import results, users
from .columns import NAME_LENGTH, REASON_LENGTH, STATUS_LENGTH, duration, sorted_values
from .querysets import DirectorManager, TaskQuerySet
from .runs import Run

_DECIDER: Final = users.Reference("decided_by_id")


class Task(models.Model):
    """One step of a run. The row is also its outbox: the engine publishes it until a worker claims it."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    run = models.ForeignKey(Run, models.CASCADE, related_name="tasks", db_index=False)
    position = models.PositiveIntegerField(help_text="The step's number in the graph of the version.")
    step = models.CharField(max_length=NAME_LENGTH, help_text="The step's id.")
    map_index = models.IntegerField(default=-1, help_text="The item it is for, from 0; -1 outside of maps.")
    map_count = models.IntegerField(null=True, help_text="Of a map: how many items it has, once that is known.")
    item = models.JSONField(encoder=DjangoJSONEncoder, null=True)
    generation = models.PositiveIntegerField(default=0)
    is_hook = models.BooleanField(_("hook"), default=False)
    name = models.CharField(max_length=NAME_LENGTH, help_text="The name of the Celery task.")
    queue = models.CharField(max_length=NAME_LENGTH, blank=True)

    status = models.CharField(
        _("status"), max_length=STATUS_LENGTH, choices=TaskStatus, default=TaskStatus.PENDING
    )
    sequence = models.BigIntegerField(default=0, help_text="Raised each time the task is queued anew.")
    claim = models.BigIntegerField(null=True, help_text="A random number written at the claim.")
    lease_until = models.DateTimeField(null=True)
    worker = models.CharField(max_length=NAME_LENGTH, blank=True)
    worker_key = models.BigIntegerField(null=True, help_text="The key of the worker that has claimed it last.")

    next_dispatch_at = models.DateTimeField(null=True)
    dispatches = models.PositiveIntegerField(default=0, help_text="How often it was published again.")
    not_before = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(
        null=True,
        help_text="When its time is up: an attempt has run too long, nobody has decided, a wait is over.",
    )
    unknown_since = models.DateTimeField(null=True, help_text="Since when a worker says it has no such task.")
    unsendable_since = models.DateTimeField(null=True, help_text="Since when its message can't be sent.")

    attempt = models.PositiveIntegerField(_("attempt"), default=0, help_text="The last attempt started.")
    failures = models.PositiveIntegerField(default=0)
    crashes = models.PositiveIntegerField(default=0)
    reruns = models.PositiveIntegerField(default=0, help_text="How often it ran again after a success.")

    result = models.JSONField(encoder=DjangoJSONEncoder, null=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    reason = models.CharField(max_length=REASON_LENGTH, blank=True, help_text="Why it is in this status.")
    progress = models.JSONField(null=True)
    child_run = models.UUIDField(null=True, help_text="The child run that the step has started last.")

    asked_at = models.DateTimeField(null=True, help_text="Since when an approval waits for somebody to decide.")
    decision = models.JSONField(null=True, help_text="Of an approval: approved, by, comment, at.")
    decided_by_id = models.CharField(
        max_length=users.LENGTH,
        blank=True,
        help_text="Key of the user who decided; the name is in `decision`.",
    )

    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = DirectorManager.from_queryset(TaskQuerySet)()

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        base_manager_name = "objects"
        ordering: ClassVar = ["run", "is_hook", "position", "map_index", "generation"]
        permissions: ClassVar = [("approve_task", "Can approve and reject")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "position", "map_index", "generation"], name="director_task_identity"
            ),
            models.CheckConstraint(
                name="director_task_running_lease",
                condition=~Q(status=TaskStatus.RUNNING) | Q(lease_until__isnull=False, claim__isnull=False),
            ),
            models.CheckConstraint(
                name="director_task_queued_dispatch",
                condition=~Q(status=TaskStatus.QUEUED) | Q(next_dispatch_at__isnull=False),
            ),
            models.CheckConstraint(
                name="director_task_finished_at",
                condition=Q(status__in=sorted_values(TASK_FINISHED), finished_at__isnull=False)
                | Q(~Q(status__in=sorted_values(TASK_FINISHED)), finished_at__isnull=True),
            ),
        ]
        indexes: ClassVar = [
            # Each index serves one query of the supervisor, and is partial if the database supports that.
            # The status alone would be enough as a condition. But then PostgreSQL might use this index to find one
            # queued task, and read all queued tasks, if its statistics do not know that there are many.
            PartialIndex(
                fields=["next_dispatch_at"],
                name="director_task_due",
                condition=Q(status=TaskStatus.QUEUED, next_dispatch_at__isnull=False),
            ),
            PartialIndex(
                fields=["lease_until"],
                name="director_task_lease",
                condition=Q(status=TaskStatus.RUNNING, lease_until__isnull=False),
            ),
            PartialIndex(
                fields=["not_before"],
                name="director_task_timer",
                condition=Q(status=TaskStatus.WAITING, not_before__isnull=False),
            ),
            PartialIndex(
                fields=["deadline_at"],
                name="director_task_deadline",
                # The supervisor finds the deadlines of running tasks by the index of leases: only few tasks run.
                condition=Q(status=TaskStatus.WAITING, deadline_at__isnull=False),
            ),
            PartialIndex(fields=["asked_at"], name="director_task_asked", condition=Q(asked_at__isnull=False)),
            # For the lists of people. A step that runs and succeeds never stands in these two.
            PartialIndex(
                fields=["status", "run", "position", "map_index", "generation"],
                name="director_task_unsuccessful",
                condition=Q(status__in=sorted_values(TASK_UNSUCCESSFUL)),
                is_needed=False,
            ),
            PartialIndex(
                fields=["status", "run", "position"],
                name="director_task_hooks",
                condition=Q(is_hook=True),
                is_needed=False,
            ),
        ]

    def __str__(self) -> str:
        return self.step

    @property
    def label(self) -> str:
        """The name that people read: the step's id, with the index of an item; of a hook the name in the file."""
        if self.step.startswith(HOOK_PREFIX) and self.is_hook:
            return hook_label(self.step)
        return self.step if self.map_index < 0 else f"{self.step}[{self.map_index}]"

    @property
    def decided_by(self) -> users.User:
        """The user who decided on an approval; ``None`` if no user did, or if the user was deleted.

        It takes one query to the database of the user model, once for each ``Task`` object.
        """
        return _DECIDER.get(self)

    @property
    def is_finished(self) -> bool:
        return self.status in TASK_FINISHED

    def read_result(self) -> tuple[Any, str]:
        """Return the result and an empty text, or ``None`` and the reason why there is no result.

        The result of a finished map is the list of the results of its items.
        """
        return results.read_task_result(self)

    @property
    def duration(self) -> float | None:
        """The seconds from the start of the last attempt to the outcome; ``None`` before the outcome."""
        return duration(self.started_at, self.finished_at)


class Attempt(models.Model):
    """An attempt after which the task was tried again: it has failed, was lost, or has timed out."""

    class Outcome(models.TextChoices):
        FAILED = "failed", pgettext_lazy("status", "failed")
        LOST = "lost", pgettext_lazy("status", "lost")
        TIMED_OUT = "timed_out", pgettext_lazy("status", "timed out")
        REPLACED = "replaced", pgettext_lazy("status", "replaced")

    task = models.ForeignKey(Task, models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    generation = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=STATUS_LENGTH, choices=Outcome)
    worker = models.CharField(max_length=NAME_LENGTH, blank=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField()

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()
        ordering: ClassVar = ["task", "id"]

    def __str__(self) -> str:
        return f"attempt {self.number}"


class TaskLog(models.Model):
    """The log lines of the code of one attempt; an attempt that has logged nothing has no row."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="logs", db_index=False)
    sequence = models.BigIntegerField(help_text="The task's when it was claimed.")
    attempt = models.PositiveIntegerField()
    generation = models.PositiveIntegerField(default=0)
    level = models.PositiveSmallIntegerField(
        default=0, help_text="The worker's logging level, as a number of Python: it makes no lines below."
    )
    writes = models.PositiveIntegerField(default=1, help_text="How often the text was written.")
    text = models.TextField()

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()
        ordering: ClassVar = ["task", "sequence"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "sequence"], name="director_log_attempt"),
        ]

    def __str__(self) -> str:
        return f"log of attempt {self.attempt}"


class Gate(models.Model):
    """The counter of a join. The table has few columns because each task before the join writes the row once."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="gates", db_index=False)
    seq = models.PositiveBigIntegerField()
    remaining = models.PositiveIntegerField()
    failed = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "seq"], name="director_gate_seq"),
        ]

    def __str__(self) -> str:
        return f"gate {self.seq}"
