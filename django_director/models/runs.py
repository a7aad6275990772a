"""The table of runs: one row for each execution of a version of a workflow."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_director.common import ids
from django_director.db.functions import iso
from django_director.db.indexes import PartialIndex
from django_director.status import RUN_FINISHED, STOP_SPARING, RunStatus, Stop, Trigger

from . import results, users
from .columns import COMMENT_LENGTH, KEY_LENGTH, NAME_LENGTH, STATUS_LENGTH, duration, sorted_values
from .querysets import DirectorManager, RunQuerySet
from .wait import wait_for_outcome
from .workflows import Workflow, WorkflowVersion

_STARTER: Final = users.Reference("user_id")


class Run(models.Model):
    """One execution of a version of a workflow."""

    id = models.UUIDField(primary_key=True, default=ids.new_run_id, editable=False)
    # A foreign key gets no index of its own if another index begins with its column.
    workflow = models.ForeignKey(Workflow, models.PROTECT, related_name="runs", db_index=False)
    version = models.ForeignKey(WorkflowVersion, models.PROTECT, related_name="runs")
    status = models.CharField(_("status"), max_length=STATUS_LENGTH, choices=RunStatus, default=RunStatus.RUNNING)
    stop = models.CharField(max_length=STATUS_LENGTH, choices=Stop, default=Stop.NONE, blank=True)
    paused_at = models.DateTimeField(null=True)
    generation = models.PositiveIntegerField(default=0, help_text="How often the run was retried.")
    token = models.BigIntegerField(null=True, help_text="A random number written by the last cancel or retry.")
    payload = models.JSONField(encoder=DjangoJSONEncoder, default=dict)
    error = models.TextField(blank=True)
    trigger = models.CharField(
        pgettext_lazy("how a run began", "trigger"),
        max_length=STATUS_LENGTH,
        choices=Trigger,
        default=Trigger.MANUAL,
    )
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
    counted_from = models.DateTimeField(
        null=True,
        help_text="The start, moved on by the time for which the run stood paused, or ended before a retry.",
    )
    finished_at = models.DateTimeField(null=True)

    objects = DirectorManager.from_queryset(RunQuerySet)()

    #: ``False`` if ``start`` returned the run of an earlier call with the same idempotency key.
    created: bool = True

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        base_manager_name = "objects"
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [
            ("cancel_run", "Can cancel runs"),
            ("retry_run", "Can retry, rerun, relaunch and skip"),
            ("view_payload", "Can view payloads, results and tracebacks"),
        ]
        constraints: ClassVar = [
            # The key comes first: people look for it without a workflow.
            models.UniqueConstraint(fields=["idempotency_key", "workflow"], name="director_run_idempotency"),
            models.UniqueConstraint(fields=["schedule", "scheduled_for"], name="director_run_slot"),
            models.CheckConstraint(
                name="director_run_finished_at",
                condition=Q(status__in=sorted_values(RUN_FINISHED), finished_at__isnull=False)
                | Q(~Q(status__in=sorted_values(RUN_FINISHED)), finished_at__isnull=True),
            ),
            # Gives each slot to one run only: if two sessions write the same slot, one of them fails.
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
            # A workflow with millions of successes may have few runs of another status, or none.
            models.Index(fields=["workflow", "status", "id"], name="director_run_of_status"),
            models.Index(fields=["workflow", "finished_at"], name="director_run_retention"),
            models.Index(fields=["status", "id"], name="director_run_by_status"),
            models.Index(fields=["status", "finished_at"], name="director_run_by_end"),
            models.Index(fields=["user_name", "-id"], name="director_run_by_user"),
            models.Index(fields=["trigger", "id"], name="director_run_by_trigger"),
            models.Index(fields=["created_at", "id"], name="director_run_by_time"),
            PartialIndex(
                fields=["id"],
                name="director_run_children",
                condition=Q(parent_task__isnull=False),
                is_needed=False,
            ),
            # For the search: most runs have no comment.
            PartialIndex(fields=["id"], name="director_run_comment", condition=Q(comment__gt=""), is_needed=False),
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
            # The engine empties both columns when a run ends, so the index is short even if it is not partial.
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
    def user(self) -> users.User:
        """The user who started the run; ``None`` if no user did, or if the user was deleted (``user_name`` stays).

        It takes one query to the database of the user model, once for each ``Run`` object.
        """
        return _STARTER.get(self)

    @user.setter
    def user(self, user: users.User) -> None:
        self.user_id, self.user_name = users.key_of(user), users.name_of(user)
        _STARTER.keep(self, user, self.user_id)

    @property
    def is_finished(self) -> bool:
        return self.status in RUN_FINISHED

    @property
    def shown_status(self) -> str:
        """The status that people see, which may also be ``paused`` or ``canceling``."""
        if self.is_finished:
            return self.status
        if self.stop not in STOP_SPARING:
            return "canceling"
        return "paused" if self.paused_at else self.status

    @property
    def duration(self) -> float | None:
        """The seconds from the first start to the last outcome; ``None`` before the outcome.

        The time for which the run stood paused, or ended before a retry, does not count.
        """
        # A run that was canceled while it was paused has worked until the pause.
        ended = self.finished_at and (self.paused_at or self.finished_at)
        return duration(self.counted_from or self.started_at, ended)

    @property
    def result(self) -> Any:
        """The result of the last entry of the workflow's ``tasks``, or the value of the definition's ``result``.

        It is read from the rows of the tasks. It is ``None`` if an expression fails or if the results are larger
        than ``MAX_INPUT``: then ``result_error`` says why.
        """
        return self.read_result()[0]

    @property
    def result_error(self) -> str:
        """The reason why there is no ``result``; empty if nothing has failed."""
        return self.read_result()[1]

    def read_result(self) -> tuple[Any, str]:
        """Return ``result`` and ``result_error`` with one reading of the rows."""
        return results.read_run_result(self)

    @property
    def facts(self) -> dict[str, Any]:
        """The values that expressions can use as ``run``."""
        return {
            "id": str(self.pk),
            "workflow": self.workflow.name,
            "trigger": self.trigger,
            "scheduled_for": iso(self.scheduled_for),
            "status": self.status,
            "error": self.error,
        }

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait for the outcome of the run and return it.

        Raises ``TimeoutError`` after ``timeout`` seconds. Raises ``DirectorError`` inside a transaction, because
        the run starts only after the commit. Raises ``Misuse`` inside a task if there is no ``timeout``, because
        the waiting tasks could occupy all workers that the runs need.
        """
        return wait_for_outcome(self, timeout)
