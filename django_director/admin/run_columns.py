"""The list of runs: what is read for a page of it, and its columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_director.access.answers import Answers
from django_director.engine.concurrency import pending_reasons
from django_director.models import Run
from django_director.presentation import durations, open_approvals, served_queues, visible_errors
from django_director.presentation.summaries import progress, work_counts
from django_director.schedules import beat_rows
from django_director.status import RunStatus, TaskStatus

from . import formatting, turns
from .bars import draw_segments
from .base import BoundedPaginator
from .live_pages import LiveList

COMMENT_SHOWN: Final = 60


class RunList(LiveList):
    """Reads for the runs of a page all that their columns show; the number of queries does not depend on them.

    These are how many tasks the runs have, what pending ones wait for, their open approvals, and how long runs of
    their workflows usually take.
    """

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Run]) -> list[Any]:
        if self._has_dates(request) and ORDER_VAR not in self.params:
            # Within dates the runs come by their time, for which there is an index; it is the order of their ids.
            return ["-created_at", "-pk"]
        return list(super().get_ordering(request, queryset))

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Run]:
        """Return the runs; by another column than the time only those among the newest are sorted."""
        runs: QuerySet[Run] = super().get_queryset(request, *args, **kwargs)
        column = "created_at" if self._has_dates(request) else "pk"
        if str(runs.query.order_by[0]).lstrip("-") in ("pk", "created_at"):
            return runs
        last = BoundedPaginator.limit - 1
        oldest = list(runs.order_by(f"-{column}", "-pk").values_list(column, flat=True)[last : last + 1])
        return runs.filter(**{f"{column}__gte": oldest[0]}) if oldest else runs

    def _has_dates(self, request: HttpRequest) -> bool:
        return any(name.startswith("created_at__") for name in request.GET)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        runs: list[Any] = list(self.result_list)
        self.result_list = runs
        counts, places = work_counts(runs), pending_reasons.of_runs(runs)
        asking = open_approvals.count_by_run([pk for pk, found in counts.items() if TaskStatus.WAITING in found])
        usual = durations.of_workflows({run.workflow_id for run in runs})
        answers = Answers.of(request)
        sees_payload, sees_tasks = answers.sees("view_payload"), answers.sees("view_task")
        queued = served_queues.oldest_of(
            [run.pk for run in runs if _waits_in_queue(run, counts[run.pk]) and sees_tasks(run.workflow_id)]
        )
        for run in runs:
            run.counts, run.place, run.asking = counts[run.pk], places.get(run.pk), asking.get(run.pk, 0)
            run.usual, run.queued = usual.get(run.workflow_id), queued.get(run.pk)
            run.visible_error = visible_errors.of_run(run, sees_payload=sees_payload(run.workflow_id))


def _waits_in_queue(run: Run, counts: Mapping[str, int]) -> bool:
    """Whether a run does nothing but wait for workers, as far as the numbers of its tasks tell."""
    is_going = run.shown_status == RunStatus.RUNNING
    return is_going and TaskStatus.QUEUED in counts and TaskStatus.RUNNING not in counts


class RunColumns:
    """The columns of the list of runs. Each gets a run with what ``RunList`` has read for it."""

    @admin.display(description=gettext_lazy("run"), ordering="pk")
    def run(self, run: Any) -> SafeString:
        comment = formatting.shortened_line(run.comment, COMMENT_SHOWN)
        return format_html(
            '<strong>{}</strong> <span class="director-quiet director-number">{}</span>{}',
            formatting.name(run.workflow.name),
            formatting.short_id(run.pk),
            format_html('<br><span class="director-quiet">{}</span>', comment) if comment else "",
        )

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def state(self, run: Any) -> SafeString:
        badge = formatting.badge(run.shown_status)
        if run.asking:
            return format_html("{} {}", badge, formatting.badge("waiting", _("waits for approval")))
        return (
            badge
            if run.place is None
            else format_html('{} <span class="director-quiet">{}</span>', badge, turns.describe(run.place))
        )

    @admin.display(description=gettext_lazy("error"))
    def error_text(self, run: Any) -> SafeString:
        line = formatting.error_line(run.visible_error)
        if line:
            return format_html('<span class="director-line" title="{}">{}</span>', line, line)
        return format_html('<span class="director-quiet">{}</span>', _place(run)) if run.queued else SafeString()

    @admin.display(description=gettext_lazy("started"), ordering="pk")
    def started(self, run: Any) -> SafeString:
        return format_html('<span class="director-number">{}</span>', formatting.when(run.started_at))

    @admin.display(description=gettext_lazy("duration"))
    def took(self, run: Any) -> SafeString:
        elapsed = formatting.unbroken(formatting.elapsed(run))
        if run.usual is None:
            return elapsed
        usual = _("usually %(time)s") % {"time": formatting.seconds(run.usual.seconds)}
        return format_html('{}<br><span class="director-quiet director-number">{}</span>', elapsed, usual)

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, run: Any) -> SafeString:
        finished, total = progress(run.counts)
        number = formatting.unbroken(f"{formatting.number(finished)} / {formatting.number(total)}")
        return format_html('<span class="director-small">{}</span> {}', draw_segments(run.counts), number)

    @admin.display(description=gettext_lazy("started by"), ordering="user_name")
    def who(self, run: Any) -> SafeString | str:
        trigger = str(run.get_trigger_display())
        if run.schedule and not beat_rows.is_of_files(run.schedule):
            # The name of a schedule of the files says no more than the workflow's.
            trigger = f"{trigger}: {formatting.name(run.schedule)}"
        if not run.user_name:
            return trigger
        return format_html('{}<br><span class="director-quiet">{}</span>', formatting.name(run.user_name), trigger)


def _place(run: Any) -> str:
    """Return in which queue the run waits, and since when."""
    queue, since = run.queued
    text = _("in queue “%(queue)s” since %(since)s")
    return text % {"queue": formatting.name(queue), "since": formatting.moment(since)}
