"""The overview: what is wrong, since when, is anything alive, what waits for the user, and what runs.

It is the index page of this app in each admin site. A template tag makes it, because a site's index is a view of
the site and not of this app.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.access.authorization import allowed_rows, is_allowed
from django_director.common.times import aware, stored
from django_director.conf import director
from django_director.drawing.icons import icon
from django_director.exceptions import InvalidSettings
from django_director.models import Run, Task, Workflow
from django_director.models.querysets import RunQuerySet
from django_director.models.users import User
from django_director.presentation import causes, durations, hours, served_queues, visible_errors
from django_director.presentation.causes import Cause
from django_director.presentation.durations import Usual
from django_director.presentation.summaries import task_counts
from django_director.status import TASK_FINISHED, TaskStatus

from . import decisions, formatting, vital_signs
from .bars import draw_hours
from .run_filters import CAUSE_PERIOD, Sees

FAILED_HOURS: Final = 24
"""The overview shows what has failed within so many hours."""
BARS: Final = 48
POLL: Final = 10
"""Seconds between two live updates."""
CAUSES_SHOWN: Final = 8
RUNNING_SHOWN: Final = 10
ASKED_SHOWN: Final = 10


@dataclass(frozen=True, kw_only=True)
class Running:
    """A run that has not ended, as the overview shows it."""

    run: Run
    badge: SafeString
    finished: int
    total: int
    message: str
    """What its running task reports, with its step."""
    taken: str
    usual: str
    """How long runs of this workflow usually take; empty if that is not known."""
    is_late: bool


class Overview:
    """Reads what the overview shows to one user.

    The number of queries does not depend on the number of rows. Where a function of the project decides who may
    see what, one more is needed for each workflow that is shown.
    """

    def __init__(self, request: HttpRequest, site: str) -> None:
        self.user: User = request.user
        self.site = site
        self.now = datetime.now(UTC)
        self._sees_payload = Sees(self.user)
        self._sees_tasks = Sees(self.user, "view_task")

    def context(self) -> dict[str, Any]:
        """Return what the template needs."""
        failures = causes.read_failures(self._runs(), stored(self.now - CAUSE_PERIOD))
        active = list(self._runs().active().roots().for_listing().order_by("-pk")[: RUNNING_SHOWN + 1])
        usual = durations.of_workflows(
            {run.workflow_id for run in active} | {each.workflow_id for each in failures}
        )
        signs = vital_signs.read(with_names=not director.AUTHORIZE)
        return {
            "signs": signs,
            "live_address": self._address("overview"),
            "system_address": self._address("system"),
            "here": reverse("admin:app_list", args=("django_director",), current_app=self.site),
            "poll": POLL,
            "running_address": self._list(status__exact="running"),
            "zone": formatting.zone(),
            **_verdict(len(failures), signs),
            "repaired": self._repaired(),
            **self._failed(failures, usual),
            "asked": self._asked(),
            "running": self._running(active[:RUNNING_SHOWN], usual),
            "more_running": len(active) > RUNNING_SHOWN,
            "bars": draw_hours(hours.read_hours(self._runs(), self.now, BARS), self._list),
        }

    def _runs(self) -> RunQuerySet:
        runs: RunQuerySet = Run.objects.all()
        return runs.filter(workflow__in=self._workflows) if director.AUTHORIZE else runs

    @cached_property
    def _workflows(self) -> list[int]:
        return [workflow.pk for workflow in allowed_rows(self.user, "view_run", Workflow.objects.all())]

    def _failed(self, failures: Sequence[causes.Failure], usual: dict[int, Usual]) -> dict[str, Any]:
        found = causes.group(failures, self._sees_payload)
        may_retry = is_allowed(self.user, "retry")
        return {
            "failed": len(failures),
            "failed_is_cut": len(failures) == causes.SAMPLE,
            "causes": [self._cause(each, usual, may_retry=may_retry) for each in found[:CAUSES_SHOWN]],
            "more_causes": max(0, len(found) - CAUSES_SHOWN),
            "failed_address": self._list(status__exact="failed", ended=f"{FAILED_HOURS}h"),
        }

    def _cause(self, cause: Cause, usual: dict[int, Usual], *, may_retry: bool) -> dict[str, Any]:
        worked = [usual[pk].last_success for pk in cause.workflows if pk in usual]
        chosen = {"status__exact": "failed", "cause": cause.key}
        return {
            "cause": cause,
            "step": formatting.name(cause.step),
            "error": formatting.error_line(cause.error),
            "workflows": [formatting.name(name) for name in list(cause.workflows.values())[:3]],
            "number": len(cause.failures),
            "since": formatting.when(cause.since),
            "worked": formatting.when(max(worked)) if worked else _("never"),
            "runs": self._list(**chosen),
            "newest": formatting.address("run_change", cause.newest.pk, site=self.site),
            "retry": may_retry,
            "retry_page": self._address("run_many_retry"),
        }

    def _repaired(self) -> int:
        """Return how many runs have succeeded after a retry within the last day, at most a thousand."""
        ended = self._runs().succeeded().roots().filter(finished_at__gte=stored(self.now - CAUSE_PERIOD))
        return int(ended.filter(generation__gt=0).order_by()[: causes.SAMPLE].count())

    def _asked(self) -> list[dict[str, Any]]:
        asked = decisions.open_approvals(self.user)
        tasks = [task for task in asked if self._sees_tasks(task.run.workflow_id)][:ASKED_SHOWN]
        return [{**decisions.describe_asked(task), "since": formatting.when(task.asked_at)} for task in tasks]

    def _running(self, runs: Sequence[Run], usual: dict[int, Usual]) -> list[Running]:
        counts, messages = task_counts(runs), self._messages(runs)
        return [
            self._describe(run, counts[run.pk], messages.get(run.pk, ""), usual.get(run.workflow_id))
            for run in runs
        ]

    def _describe(self, run: Run, counts: dict[str, int], message: str, usual: Usual | None) -> Running:
        finished, total = formatting.progress(counts, TASK_FINISHED)
        begun = formatting.counted_from(run)
        taken = (self.now - aware(begun)).total_seconds() if begun else 0.0
        return Running(
            run=run,
            badge=formatting.badge(run.shown_status),
            finished=finished,
            total=total,
            message=message,
            taken=formatting.roughly(taken),
            usual=formatting.seconds(usual.seconds) if usual else "",
            is_late=usual is not None and usual.is_late(taken),
        )

    def _messages(self, runs: Sequence[Run]) -> dict[Any, str]:
        """Return what a running task of each run reports, or what the run waits for, in two queries at most."""
        by_run = {run.pk: run for run in runs if self._sees_tasks(run.workflow_id)}
        if not by_run:
            return {}
        found = self._reports(by_run)
        if rest := [pk for pk in by_run if pk not in found]:
            waiting = Task.objects.filter(run__in=rest).active().exclude(status=TaskStatus.PENDING).order_by()
            columns = ("run_id", "step", "map_index", "is_hook", "status", "asked_at", "name", "queue")
            for task in waiting.only(*columns)[: 10 * RUNNING_SHOWN]:
                found.setdefault(task.run_id, _waiting_text(task))
        return found

    def _reports(self, by_run: dict[Any, Run]) -> dict[Any, str]:
        tasks = Task.objects.all_running().filter(run__in=list(by_run)).order_by("-started_at")
        found = {}
        for task in tasks.only("run_id", "step", "map_index", "is_hook", "progress")[: 10 * RUNNING_SHOWN]:
            sees = self._sees_payload(by_run[task.run_id].workflow_id)
            reported = visible_errors.progress(task.progress, sees_payload=sees)
            found[task.run_id] = _progress_text(task, reported)
        return found

    def _list(self, **chosen: str) -> str:
        return f"{self._address('run_changelist')}?{urlencode(chosen)}"

    def _address(self, page: str, *args: object) -> str:
        return formatting.address(page, *args, site=self.site)


def _waiting_text(task: Task) -> str:
    label = formatting.name(task.label)
    if task.status == TaskStatus.QUEUED:
        queue = formatting.name(served_queues.of_task(task))
        return _("%(step)s waits in queue %(queue)s") % {"step": label, "queue": queue}
    text = _("%(step)s waits for approval") if task.asked_at is not None else _("%(step)s waits")
    return text % {"step": label}


def _progress_text(task: Task, progress: dict[str, Any] | None) -> str:
    label = formatting.name(task.label)
    if progress is None:
        return label
    total = f"/{progress['total']:,}" if progress.get("total") else ""
    return f"{label}: {progress['done']:,}{total} {progress.get('message') or ''}".strip()


def _verdict(failed: int, signs: vital_signs.VitalSigns) -> dict[str, Any]:
    headline = _headline(failed, len(signs.problems), signs.unserved)
    is_well = not (failed or signs.problems or signs.unserved)
    return {
        "headline": headline or _("All is well: nothing has failed in the last 24 hours."),
        "is_well": is_well,
        "mark": icon("success" if is_well else "failed"),
    }


def _headline(failed: int, problems: int, unserved: int) -> str:
    """Return the sentence that tells what is wrong; empty if all is well."""
    parts = []
    if unserved:
        text = ngettext("%(n)s queue is served by no worker", "%(n)s queues are served by no worker", unserved)
        parts.append(text % {"n": unserved})
    if problems:
        text = ngettext("%(n)s thing needs attention", "%(n)s things need attention", problems)
        parts.append(text % {"n": problems})
    if failed:
        text = ngettext(
            "%(n)s run has failed in the last 24 hours", "%(n)s runs have failed in the last 24 hours", failed
        )
        parts.append(text % {"n": f"{failed:,}"})
    return "; ".join(parts) + "." if parts else ""


def for_request(request: HttpRequest, site: str) -> dict[str, Any] | None:
    """Return what the template of the overview needs; ``None`` for a user who may not see runs."""
    try:
        if not is_allowed(request.user, "view_run"):
            return None
        return Overview(request, site).context()
    except InvalidSettings as error:
        return {"unusable": str(error)}
