"""Rows and their constraints. What a row may become is decided in ``engine/``."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from django_director.common import ids
from django_director.db.functions import iso
from django_director.db.indexes import PartialIndex
from django_director.definitions import HOOK_PREFIX, from_json, hook_label
from django_director.graph import Graph, compile_definition
from django_director.status import RUN_FINISHED, STOP_SPARING, TASK_FINISHED, RunStatus, Stop, TaskStatus, Trigger

from . import querysets, results, users
from .querysets import DirectorManager

logger = logging.getLogger(__name__)

NAME_LENGTH = 200
STATUS_LENGTH = 16
KEY_LENGTH = 200
COMMENT_LENGTH = 1000
REASON_LENGTH = 1300
"""Room for a comment, and who gave it."""
GRAPHS_KEPT = 256

_STARTER = users.Reference("user_id")
_DECIDER = users.Reference("decided_by_id")
_graphs: dict[str, Graph] = {}


def _values(statuses: frozenset[Any]) -> list[str]:
    return sorted(str(status) for status in statuses)


class Workflow(models.Model):
    """A definition's name, its current version, and whether it stands in the files."""

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    current_version = models.ForeignKey(
        "WorkflowVersion", models.PROTECT, null=True, related_name="+", editable=False
    )
    is_active = models.BooleanField(default=True, help_text="Off when the workflow has left the files.")
    retention_offset = models.IntegerField(
        null=True, help_text="How many finished runs are kept; -1: all; empty: the setting's."
    )
    retention_days = models.PositiveIntegerField(null=True, help_text="How long finished runs are kept.")
    allowed_groups = models.JSONField(
        default=list,
        help_text="Names of the groups that may run and steer it; empty: whoever has the permissions.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = DirectorManager.from_queryset(querysets.WorkflowQuerySet)()

    class Meta:
        base_manager_name = "objects"
        ordering: ClassVar = ["name"]
        permissions: ClassVar = [("run_workflow", "Can run workflows")]

    def __str__(self) -> str:
        return self.name


class WorkflowVersion(models.Model):
    """An immutable definition: what a run was started with and belongs to."""

    workflow = models.ForeignKey(Workflow, models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField(help_text="Counts the versions of one workflow from 1.")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the definition.")
    definition = models.JSONField(encoder=DjangoJSONEncoder)
    source = models.TextField(help_text="The text in the file.")
    path = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workflow", "content_hash"], name="director_version_hash"),
            models.UniqueConstraint(fields=["workflow", "number"], name="director_version_number"),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"

    @property
    def graph(self) -> Graph:
        """The compiled definition, kept per process: a version never changes."""
        graph = _graphs.get(self.content_hash)
        if graph is None:
            graph = compile_definition(from_json(self.definition), self.content_hash)
            _graphs[self.content_hash] = graph
            while len(_graphs) > GRAPHS_KEPT:
                _graphs.pop(next(iter(_graphs)), None)
        return graph


class Run(models.Model):
    """One execution of a version."""

    id = models.UUIDField(primary_key=True, default=ids.new_run_id, editable=False)
    # Without an index of its own, as wherever another one begins with the same column.
    workflow = models.ForeignKey(Workflow, models.PROTECT, related_name="runs", db_index=False)
    version = models.ForeignKey(WorkflowVersion, models.PROTECT, related_name="runs")
    status = models.CharField(max_length=STATUS_LENGTH, choices=RunStatus, default=RunStatus.RUNNING)
    stop = models.CharField(max_length=STATUS_LENGTH, choices=Stop, default=Stop.NONE, blank=True)
    paused_at = models.DateTimeField(null=True)
    generation = models.PositiveIntegerField(default=0, help_text="How often the run was retried.")
    token = models.BigIntegerField(null=True, help_text="A random number written by the last cancel or retry.")
    payload = models.JSONField(encoder=DjangoJSONEncoder, default=dict)
    error = models.TextField(blank=True)
    trigger = models.CharField(max_length=STATUS_LENGTH, choices=Trigger, default=Trigger.MANUAL)
    user_id = models.CharField(max_length=users.LENGTH, blank=True, help_text="Key of the user who started it.")
    user_name = models.CharField(max_length=users.LENGTH, blank=True, help_text="Name of that user at the start.")
    comment = models.CharField(max_length=COMMENT_LENGTH, blank=True)
    idempotency_key = models.CharField(max_length=KEY_LENGTH, null=True)  # noqa: DJ001 - NULLs are distinct
    schedule = models.CharField(max_length=NAME_LENGTH, null=True)  # noqa: DJ001 - NULLs are distinct
    scheduled_for = models.DateTimeField(null=True, help_text="The slot of the schedule.")
    sent_at = models.DateTimeField(null=True, help_text="When the schedule's message was sent.")
    parent_task = models.ForeignKey("Task", models.CASCADE, null=True, related_name="children")
    is_awaited = models.BooleanField(default=False, help_text="Whether a step waits for its end.")
    relaunched_from = models.ForeignKey("self", models.SET_NULL, null=True, related_name="relaunches")
    deadline_at = models.DateTimeField(null=True)
    concurrency_key = models.CharField(  # noqa: DJ001 - NULLs are distinct
        max_length=KEY_LENGTH, null=True, help_text="Runs of one key share slots; empty without `concurrency`."
    )
    slot = models.PositiveIntegerField(null=True, help_text="Which of its key's slots an admitted run holds.")
    queued_at = models.DateTimeField(null=True, help_text="Since when an active run of a key wants a slot.")
    next_admission_at = models.DateTimeField(null=True, help_text="When the supervisor looks at a pending run.")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = DirectorManager.from_queryset(querysets.RunQuerySet)()

    #: False for the run of an earlier call with the same idempotency key.
    created: bool = True

    class Meta:
        base_manager_name = "objects"
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [
            ("cancel_run", "Can cancel runs"),
            ("retry_run", "Can retry, rerun, relaunch and skip"),
            ("view_payload", "Can view payloads, results and tracebacks"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workflow", "idempotency_key"], name="director_run_idempotency"),
            models.UniqueConstraint(fields=["schedule", "scheduled_for"], name="director_run_slot"),
            models.CheckConstraint(
                name="director_run_finished_at",
                condition=Q(status__in=_values(RUN_FINISHED), finished_at__isnull=False)
                | Q(~Q(status__in=_values(RUN_FINISHED)), finished_at__isnull=True),
            ),
            # What admits a run: of two that write the same slot, one fails.
            models.UniqueConstraint(fields=["workflow", "concurrency_key", "slot"], name="director_run_slots"),
            models.CheckConstraint(
                name="director_run_holds_slot",
                condition=Q(slot__isnull=True) & (~Q(status=RunStatus.RUNNING) | Q(concurrency_key__isnull=True))
                | Q(slot__isnull=False, status=RunStatus.RUNNING, concurrency_key__isnull=False),
            ),
            models.CheckConstraint(
                name="director_run_pending",
                condition=~Q(status=RunStatus.PENDING)
                | Q(concurrency_key__isnull=False, queued_at__isnull=False, next_admission_at__isnull=False),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["workflow", "-id"], name="director_run_by_workflow"),
            models.Index(fields=["workflow", "finished_at"], name="director_run_retention"),
            models.Index(fields=["status", "id"], name="director_run_by_status"),
            models.Index(fields=["user_name", "-id"], name="director_run_by_user"),
            PartialIndex(
                fields=["finished_at", "stop"],
                name="director_run_stopping",
                condition=Q(finished_at__isnull=True, stop__gt=Stop.NONE),
            ),
            PartialIndex(
                fields=["finished_at", "deadline_at"],
                name="director_run_deadline",
                condition=Q(finished_at__isnull=True, deadline_at__isnull=False),
            ),
            PartialIndex(
                fields=["is_awaited", "finished_at"],
                name="director_run_awaited",
                condition=Q(is_awaited=True),
            ),
            # Both columns are emptied at the end: where an index can't be partial, NULLs keep it short.
            PartialIndex(
                fields=["workflow", "concurrency_key", "queued_at"],
                name="director_run_queue",
                condition=Q(queued_at__isnull=False),
            ),
            PartialIndex(
                fields=["next_admission_at"],
                name="director_run_admission",
                condition=Q(next_admission_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def user(self) -> Any:
        """The user who started it; ``None`` for nobody, and for a user who was deleted: ``user_name`` stays.

        A query to the user model's database, once for each row object.
        """
        return _STARTER.get(self)

    @user.setter
    def user(self, user: Any) -> None:
        self.user_id, self.user_name = users.key_of(user), users.name_of(user)
        _STARTER.keep(self, user, self.user_id)

    @property
    def is_finished(self) -> bool:
        return self.status in RUN_FINISHED

    @property
    def shown_status(self) -> str:
        """The status people see: also ``paused`` and ``canceling``."""
        if self.is_finished:
            return self.status
        if self.stop not in STOP_SPARING:
            return "canceling"
        return "paused" if self.paused_at else self.status

    @property
    def duration(self) -> float | None:
        """Seconds from the first start to the last outcome; ``None`` before the outcome.

        That a run was retried, and not when, is what its row knows: the time for which it stood failed counts.
        """
        return _duration(self)

    @property
    def result(self) -> Any:
        """The result of the last entry of the workflow's ``tasks``, or what the definition's ``result`` gives.

        Read from the tasks' rows. ``None`` where an expression fails or the rows hold more than ``MAX_INPUT``: see
        ``result_error``.
        """
        return self.read_result()[0]

    @property
    def result_error(self) -> str:
        """Why the definition's ``result`` gives nothing; empty when it does."""
        return self.read_result()[1]

    def read_result(self) -> tuple[Any, str]:
        """``result`` and ``result_error`` at once."""
        return results.read(self)

    @property
    def facts(self) -> dict[str, Any]:
        """What expressions know as ``run``."""
        return {
            "id": str(self.pk),
            "workflow": self.workflow.name,
            "trigger": self.trigger,
            "scheduled_for": iso(self.scheduled_for),
            "status": self.status,
            "error": self.error,
        }

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Return the outcome as soon as there is one.

        Raises ``TimeoutError`` after ``timeout`` seconds, ``DirectorError`` inside a transaction, where the
        run can't have been started yet, and ``Misuse`` inside a task without ``timeout``: the tasks that wait
        could hold all the slots that the runs need.
        """
        from .wait import wait  # an operation: it lives above the rows

        return wait(self, timeout)


class Task(models.Model):
    """One step of a run. Also its own outbox: a queued row is published until somebody claims it."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    run = models.ForeignKey(Run, models.CASCADE, related_name="tasks", db_index=False)
    position = models.PositiveIntegerField(help_text="The step's number in the graph of the version.")
    step = models.CharField(max_length=NAME_LENGTH, help_text="The step's id.")
    map_index = models.IntegerField(default=-1, help_text="The item it is for, from 0; -1 outside of maps.")
    map_count = models.IntegerField(null=True, help_text="Of a map: how many items it has, once that is known.")
    item = models.JSONField(encoder=DjangoJSONEncoder, null=True)
    generation = models.PositiveIntegerField(default=0)
    is_hook = models.BooleanField(default=False)
    name = models.CharField(max_length=NAME_LENGTH, help_text="The name of the Celery task.")
    queue = models.CharField(max_length=NAME_LENGTH, blank=True)

    status = models.CharField(max_length=STATUS_LENGTH, choices=TaskStatus, default=TaskStatus.PENDING)
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

    attempt = models.PositiveIntegerField(default=0, help_text="The last attempt started.")
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

    objects = DirectorManager.from_queryset(querysets.TaskQuerySet)()

    class Meta:
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
                condition=Q(status__in=_values(TASK_FINISHED), finished_at__isnull=False)
                | Q(~Q(status__in=_values(TASK_FINISHED)), finished_at__isnull=True),
            ),
        ]
        indexes: ClassVar = [
            # Each serves one query of the supervisor; partial where the database can.
            # The status alone would be enough, and dangerous: PostgreSQL would look for a single queued task among
            # all queued ones, where its statistics do not know that they are many.
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
                # Those of running tasks are looked for among the leases: no more of them than can run at once.
                condition=Q(status=TaskStatus.WAITING, deadline_at__isnull=False),
            ),
            PartialIndex(fields=["asked_at"], name="director_task_asked", condition=Q(asked_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.step

    @property
    def label(self) -> str:
        """What people read: the step's id, with the index of a map's instance; a hook's as the file has it."""
        if self.step.startswith(HOOK_PREFIX) and self.is_hook:
            return hook_label(self.step)
        return self.step if self.map_index < 0 else f"{self.step}[{self.map_index}]"

    @property
    def decided_by(self) -> Any:
        """The user who decided on an approval; ``None`` for nobody, and for a user who was deleted.

        A query to the user model's database, once for each row object.
        """
        return _DECIDER.get(self)

    @property
    def is_finished(self) -> bool:
        return self.status in TASK_FINISHED

    def read_result(self) -> tuple[Any, str]:
        """Its result, or ``None`` and why; of a map that has ended the list of its items'."""
        return results.of_task(self)

    @property
    def duration(self) -> float | None:
        """Seconds from the start of the last attempt to the outcome; ``None`` before the outcome."""
        return _duration(self)


class Attempt(models.Model):
    """An attempt that did not end its task: it failed, was lost or timed out, and the task was tried again."""

    class Outcome(models.TextChoices):
        FAILED = "failed", "failed"
        LOST = "lost", "lost"
        TIMED_OUT = "timed_out", "timed out"
        REPLACED = "replaced", "replaced"

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
        ordering: ClassVar = ["task", "id"]

    def __str__(self) -> str:
        return f"attempt {self.number}"


class TaskLog(models.Model):
    """What the code of one attempt has logged, or the end of it; an attempt that logged nothing has none."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="logs", db_index=False)
    sequence = models.BigIntegerField(help_text="The task's when it was claimed.")
    attempt = models.PositiveIntegerField()
    generation = models.PositiveIntegerField(default=0)
    text = models.TextField()

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        ordering: ClassVar = ["task", "sequence"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "sequence"], name="director_log_attempt"),
        ]

    def __str__(self) -> str:
        return f"log of attempt {self.attempt}"


class Gate(models.Model):
    """The counter of a join. Narrow: it is written once by each member."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="gates", db_index=False)
    seq = models.PositiveBigIntegerField()
    remaining = models.PositiveIntegerField()
    failed = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "seq"], name="director_gate_seq"),
        ]

    def __str__(self) -> str:
        return f"gate {self.seq}"


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


def graph_of(content_hash: str) -> Graph:
    """The compiled definition with this hash; a query only for the first in a process.

    Raises ``WorkflowVersion.DoesNotExist``.
    """
    graph = _graphs.get(content_hash)
    if graph is not None:
        return graph
    version: WorkflowVersion | None = WorkflowVersion.objects.filter(content_hash=content_hash).first()
    if version is None:
        raise WorkflowVersion.DoesNotExist(content_hash)
    return version.graph


def _duration(row: Run | Task) -> float | None:
    if row.started_at is None or row.finished_at is None:
        return None
    return float((row.finished_at - row.started_at).total_seconds())
