"""The overview: what is wrong, since when, is anything alive, what waits for the user, and what runs.

It is the index page of this app in each admin site. A template tag makes it, because a site's index is a view of
the site and not of this app.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.access.answers import Answers
from django_director.access.authorization import is_allowed
from django_director.common.times import stored
from django_director.conf import director
from django_director.drawing.icons import icon
from django_director.exceptions import InvalidSettings
from django_director.models import Run
from django_director.models.querysets import RunQuerySet
from django_director.models.users import User
from django_director.presentation import active_runs, causes, durations, hours, stamps
from django_director.presentation.causes import Cause
from django_director.presentation.durations import Usual

from . import decisions, formatting, running, vital_signs
from .bars import draw_hours
from .run_filters import CAUSE_PERIOD

FAILED_HOURS: Final = 24
"""The overview shows what has failed within so many hours."""
BARS: Final = 48
POLL: Final = 10
"""Seconds between two live updates."""
SIGNS_SECONDS: Final = 10
"""How old what the overview shows of workers, queues and schedules may be when it asks for an update."""
CAUSES_SHOWN: Final = 8
EXAMPLES: Final = 3
"""So many runs of a cause are named."""
EXAMPLE_SHOWN: Final = 40
RUNNING_SHOWN: Final = 10
ASKED_SHOWN: Final = 10


class Overview:
    """Reads what the overview shows to one user. The number of queries does not depend on the number of rows."""

    def __init__(self, request: HttpRequest, site: str) -> None:
        self.user: User = request.user
        self.site = site
        self.now = datetime.now(UTC)
        self._answers = Answers.of(request)

    def context(self) -> dict[str, Any]:
        """Return what the template needs."""
        runs = self._runs()
        ended = hours.read_ended(runs, self.now, BARS, CAUSE_PERIOD)
        failures = causes.read_failures(runs, stored(self.now - CAUSE_PERIOD)) if ended.failed else []
        found = causes.group(failures, self._answers.sees("view_payload"))
        active = active_runs.read(runs, RUNNING_SHOWN + 1)
        usual = durations.of_workflows(
            {run.workflow_id for run in active}.union(*(each.workflows for each in found[:CAUSES_SHOWN]))
        )
        may_see_workflows = is_allowed(self.user, "view_workflow")
        signs = vital_signs.read(
            with_names=not director.AUTHORIZE, with_workflows=may_see_workflows, site=self.site
        )
        return {
            **_told_below(signs),
            "workflows_address": self._address("workflow_changelist") if may_see_workflows else "",
            "live_address": self._address("overview"),
            "system_address": self._address("system"),
            "here": reverse("admin:app_list", args=("django_director",), current_app=self.site),
            "poll": POLL,
            "running_address": self._list(status__exact="running"),
            "zone": formatting.zone(),
            **_verdict(ended.failed, signs, runs),
            **self._failed(ended, len(failures)),
            "causes": self._causes(found, usual),
            "more_causes": max(0, len(found) - CAUSES_SHOWN),
            "asked": self._asked(),
            "running": [
                running.describe(run, usual.get(run.workflow_id), self.now, self._answers.may)
                for run in active[:RUNNING_SHOWN]
            ],
            "more_running": len(active) > RUNNING_SHOWN,
            "bars": draw_hours(ended.hours, self._list),
        }

    def _runs(self) -> RunQuerySet:
        runs: RunQuerySet = Run.objects.all()
        return runs.filter(workflow__in=self._answers.workflows("view_run")) if director.AUTHORIZE else runs

    def _failed(self, ended: hours.Ended, read: int) -> dict[str, Any]:
        """Return how many runs have failed, how many were repaired, and the addresses of the lists of both."""
        chosen = {"status__exact": "failed", "ended": f"{FAILED_HOURS}h"}
        return {
            "failed": ended.failed,
            "failed_text": _number_of_failed(ended.failed, read),
            "failed_address": self._list(**chosen, repaired="no"),
            "relaunched": ended.relaunched,
            "relaunched_address": self._list(**chosen, repaired="yes"),
            "repaired": ended.repaired,
        }

    def _causes(self, found: Sequence[Cause], usual: dict[int, Usual]) -> list[dict[str, Any]]:
        may_retry = is_allowed(self.user, "retry")
        return [self._cause(each, usual, may_retry=may_retry) for each in found[:CAUSES_SHOWN]]

    def _cause(self, cause: Cause, usual: dict[int, Usual], *, may_retry: bool) -> dict[str, Any]:
        worked = [usual[pk].last_success for pk in cause.workflows if pk in usual]
        chosen = {"status__exact": "failed", "cause": cause.key}
        return {
            "cause": cause,
            "step": formatting.name(cause.step),
            "error": formatting.error_line(cause.error)
            or ("" if cause.step else formatting.short_id(cause.newest.pk)),
            "workflows": [formatting.name(name) for name in list(cause.workflows.values())[:3]],
            "number": len(cause.failures),
            "since": formatting.when(cause.since),
            "worked": _last_success(max(worked, default=None)),
            "runs": self._list(**chosen),
            "newest": self._address("run_change", cause.newest.pk),
            "examples": self._examples(cause),
            "retry": may_retry,
            "retry_page": self._address("run_many_retry"),
        }

    def _examples(self, cause: Cause) -> list[dict[str, str]]:
        """Return the newest of several runs, with what tells them apart: the comment, or else the id."""
        chosen = cause.failures[:EXAMPLES] if len(cause.failures) > 1 else []
        return [
            {
                "address": self._address("run_change", each.pk),
                "name": formatting.shortened_line(each.comment, EXAMPLE_SHOWN) or formatting.short_id(each.pk),
                "time": formatting.when(each.finished_at),
            }
            for each in chosen
        ]

    def _asked(self) -> list[dict[str, Any]]:
        asked = decisions.open_approvals(self.user)
        tasks = [task for task in asked if self._answers.may("view_task", task.run.workflow_id)][:ASKED_SHOWN]
        clear = {task.pk for task in tasks if self._answers.may("view_payload", task.run.workflow_id)}
        decisions.read_payloads([task for task in tasks if task.pk in clear])
        return [
            {
                **decisions.describe_asked(task, sees_payload=task.pk in clear),
                "since": formatting.when(task.asked_at),
            }
            for task in tasks
        ]

    @cached_property
    def _all_runs(self) -> str:
        return self._address("run_changelist")

    def _list(self, **chosen: str) -> str:
        return f"{self._all_runs}?{urlencode(chosen)}"

    def _address(self, page: str, *args: object) -> str:
        return formatting.address(page, *args, site=self.site)


def _last_success(moment: datetime | None) -> SafeString | str:
    if moment is None:
        return _("never succeeded")
    return format_html("{} {}", _("last success"), formatting.when(moment))


def _verdict(failed: int, signs: vital_signs.VitalSigns, runs: RunQuerySet) -> dict[str, Any]:
    headline = _headline(failed, signs)
    is_well = not headline
    calm = _("All is well: nothing has failed in the last 24 hours.")
    if is_well and (retried := active_runs.count_retried(runs)):
        text = ngettext(
            "%(n)s run is being retried; all else is well.",
            "%(n)s runs are being retried; all else is well.",
            retried,
        )
        calm = text % {"n": formatting.number(retried)}
    return {
        "headline": headline or calm,
        "is_well": is_well,
        "mark": icon("success" if is_well else "failed"),
    }


def _number_of_failed(failed: int, read: int) -> str:
    text = ngettext("%(n)s run", "%(n)s runs", failed)
    if failed > read:
        text = _("%(n)s runs; the causes are those of the newest %(read)s")
    return text % {"n": formatting.number(failed), "read": formatting.number(read)}


def _told_below(signs: vital_signs.VitalSigns) -> dict[str, Any]:
    """Return what stands below the headline: the cure of its trouble, and the troubles that it does not tell."""
    return {
        "signs": signs,
        "problems": signs.problems if signs.silence else signs.problems[1:],
        "cure": vital_signs.cure() if signs.silence else "",
    }


def _headline(failed: int, signs: vital_signs.VitalSigns) -> str:
    """Return the sentence that tells what is wrong, the cause before its effects; empty if all is well.

    Of several troubles it tells the first; the others stand below.
    """
    troubles = [signs.silence, *signs.problems] if signs.silence else list(signs.problems)
    parts = [_first_of(troubles)] if troubles else []
    if failed:
        text = ngettext(
            "%(n)s run has failed in the last 24 hours", "%(n)s runs have failed in the last 24 hours", failed
        )
        parts.append(text % {"n": formatting.number(failed)})
    # A trouble mostly ends with a command, to which no point belongs, and nothing else that one would copy too.
    return " · ".join(parts) + ("." if len(parts) == 1 and (failed or signs.silence) else "")


def _first_of(troubles: Sequence[str]) -> str:
    """Return the first of some sentences, and how many more there are."""
    if len(troubles) == 1:
        return troubles[0]
    text = ngettext("%(first)s; and %(n)s more", "%(first)s; and %(n)s more", len(troubles) - 1)
    return text % {"first": troubles[0], "n": formatting.number(len(troubles) - 1)}


def stamp() -> object:
    """Return a value that changes with what runs, and every ``SIGNS_SECONDS``: signs of life are times."""
    return stamps.of_running(), int(datetime.now(UTC).timestamp() // SIGNS_SECONDS)


def for_request(request: HttpRequest, site: str) -> dict[str, Any] | None:
    """Return what the template of the overview needs; ``None`` for a user who may not see runs."""
    try:
        if not is_allowed(request.user, "view_run"):
            return None
        return Overview(request, site).context()
    except InvalidSettings as error:
        return {"unusable": str(error)}
