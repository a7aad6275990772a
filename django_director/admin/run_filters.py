"""The filters of the list of runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ALL_VAR, ERROR_FLAG, ORDER_VAR, PAGE_VAR, ChangeList
from django.db.models import QuerySet, UUIDField, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_director.access.answers import Answers
from django_director.common.times import stored
from django_director.models import Run, Task
from django_director.models.querysets import RunQuerySet
from django_director.presentation import causes, open_approvals
from django_director.presentation.lookups import SHOWN_STATUSES, filter_by_status

from . import decisions, formatting

ALSO_CHILDREN: Final = ("q", "trigger__exact", "workflow__id__exact")
"""With one of these parameters the list shows child runs too."""
NO_FILTERS: Final = {PAGE_VAR, ORDER_VAR, ALL_VAR, ERROR_FLAG}
"""The parameters of a list that choose no rows."""
_NO_TASK: Final = Value(UUID(int=0), output_field=UUIDField())
PERIODS: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(30),
}
CAUSE_PERIOD: Final = PERIODS["24h"]
"""The overview counts and groups by cause what has failed within this time, and its links mean the same runs."""
RETRYING_SHOWN: Final = 1_000
"""Of so many tasks that wait for their next attempt the runs are listed, those that are due first."""
HOUR: Final = "%Y-%m-%dT%H"


class FamilyFilter(admin.SimpleListFilter):
    """Lists only root runs, unless the user or another filter asks for runs that may be child runs."""

    title = _("kind of run")
    parameter_name = "place"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("children", _("child runs")), ("all", _("all runs"))]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": _("top-level runs")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if self.value() == "children" and request.GET.keys() - NO_FILTERS - {self.parameter_name}:
            # An expression: else a database reads the index of all child runs beside that of the other filter.
            return queryset.alias(parent=Coalesce("parent_task_id", _NO_TASK)).exclude(parent=_NO_TASK)
        if self.value() == "children":
            return queryset.filter(parent_task__isnull=False)
        if self.value() == "all" or any(request.GET.get(name) for name in ALSO_CHILDREN):
            return queryset
        return queryset.filter(parent_task=None)


class StatusFilter(admin.SimpleListFilter):
    """Filters by the status that the list shows, which may also be ``paused`` or ``canceling``."""

    title = _("status")
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [(status, formatting.status_label(status)) for status in SHOWN_STATUSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        value = self.value()
        return queryset if value is None else filter_by_status(cast(RunQuerySet, queryset), [value])


class EndedFilter(admin.SimpleListFilter):
    """Filters by the time of the end: within the last hours or days, or in one hour of UTC, as a bar leads to."""

    title = _("ended")
    parameter_name = "ended"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [
            ("1h", _("in the last hour")),
            ("24h", _("in the last 24 hours")),
            ("7d", _("in the last 7 days")),
            ("30d", _("in the last 30 days")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if not (value := self.value()):
            return queryset
        span = _span(value)
        if span is None:
            # As with other filters: what nothing can match matches nothing.
            return queryset.none()
        first, end = map(stored, span)
        # The index of ends begins with the status.
        return cast(RunQuerySet, queryset).finished().filter(finished_at__gte=first, finished_at__lt=end)


class YoursFilter(admin.SimpleListFilter):
    """Lists the runs that wait for a decision of the user, themselves or in a child run."""

    title = _("waits for you")
    parameter_name = "waits"
    is_switch = True

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("you", _("waits for you"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if self.value() != "you":
            return queryset
        asked = [task.pk for task in decisions.open_approvals(request.user)]
        found = open_approvals.runs_above(Task.objects.filter(pk__in=asked), len(asked)) if asked else ()
        return queryset.filter(pk__in=found)


class RetryingFilter(admin.SimpleListFilter):
    """Lists the runs in which a task has failed and waits for its next attempt, themselves or in a child run."""

    title = _("retrying")
    parameter_name = "retrying"
    is_switch = True

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("1", _("retrying"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if self.value() != "1":
            return queryset
        retrying = Task.objects.to_be_tried_again().order_by("not_before")
        return queryset.filter(pk__in=open_approvals.runs_above(retrying, RETRYING_SHOWN))


class RepairedFilter(admin.SimpleListFilter):
    """Lists the runs of the last day that have failed, by whether a relaunch has repaired them.

    The overview leads to it. Without that a list does not offer it: of all failed runs few may fit.
    """

    title = _("repaired by a relaunch")
    parameter_name = "repaired"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("no", _("no")), ("yes", _("yes"))] if request.GET.get(self.parameter_name) else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if self.value() not in ("no", "yes"):
            return queryset
        failed = Run.objects.failed().filter(finished_at__gte=stored(datetime.now(UTC) - CAUSE_PERIOD)).order_by()
        condition = failed.is_repaired()
        # A query of its own: else PostgreSQL reads the index of all root runs too, to ask this of fewer runs.
        return queryset.filter(
            pk__in=failed.filter(condition if self.value() == "yes" else ~condition).values("pk")
        )


class CauseFilter(admin.SimpleListFilter):
    """Lists the runs of the last day that have failed of one cause, by the key that the overview gives it."""

    title = _("cause")
    parameter_name = "cause"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, Any]]:
        key = request.GET.get(self.parameter_name)
        return [(key, self._name(request, model_admin.get_queryset(request), key))] if key else []

    def _name(self, request: HttpRequest, runs: QuerySet[Run], key: str) -> str:
        """Return the cause in words; the key if no run has failed of it."""
        found = next((cause for cause in find_causes(request, runs) if cause.key == key), None)
        return key if found is None else ": ".join(filter(None, (found.step, found.error)))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        key = self.value()
        return queryset.filter(pk__in=runs_of_cause(request, queryset, key)) if key else queryset


def runs_of_cause(request: HttpRequest, runs: QuerySet[Run], key: str) -> list[UUID]:
    """Return the ids of the runs among ``runs`` that have failed of this cause within the last day."""
    found = find_causes(request, runs)
    return [failure.pk for cause in found if cause.key == key for failure in cause.failures]


def find_causes(request: HttpRequest, runs: QuerySet[Run]) -> list[causes.Cause]:
    """Return the causes of which runs among ``runs`` have failed within the last day. It takes one query."""
    since = stored(datetime.now(UTC) - CAUSE_PERIOD)
    failures = causes.read_failures(cast(RunQuerySet, runs), since)
    return causes.group(failures, Answers.of(request).sees("view_payload"))


def _span(text: str) -> tuple[datetime, datetime] | None:
    now = datetime.now(UTC)
    if text in PERIODS:
        return now - PERIODS[text], now
    try:
        start = datetime.strptime(text, HOUR).replace(tzinfo=UTC)
        return start, start + timedelta(hours=1)
    except (ValueError, OverflowError):
        return None
