"""The addresses of lists and pages, each with filters that many, few or no rows fit, for the rows of ``crowd``."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from .crowd import BUSY_USER, HEALTHY, RARE, RARE_USER, RETIRED

BUSY: Final = "crowd.W0"
NOWHERE: Final = "no such text"


def all_of_them() -> dict[str, str]:
    """Return the addresses by their titles; the rows of ``crowd`` are in the database."""
    return {**_runs(), **_tasks(), **_api(), **_others()}


def _runs() -> dict[str, str]:
    from django.urls import reverse

    busy, rare, retired, healthy = ({"workflow__id__exact": _workflow(n)} for n in (BUSY, RARE, RETIRED, HEALTHY))
    failed, long_ago = {"status__exact": "failed"}, {"created_at__gte": _day(350), "created_at__lt": _day(320)}
    filters: dict[str, dict[str, object]] = {
        "all": {},
        "page 4": {"p": 4},
        "child runs": {"place": "children"},
        **{f"status {status}": {"status__exact": status} for status in ("success", "failed", "paused", "pending")},
        **{f"trigger {trigger}": {"trigger__exact": trigger} for trigger in ("schedule", "manual", "webhook")},
        "today": {"created_at__gte": _day(1), "created_at__lt": _day(0)},
        "a month long ago": long_ago,
        "ended in the last day": {"ended": "24h"},
        "ended in an hour long ago": {"ended": _day(330)[:13]},
        "failed, of one cause": {"cause": "0123456789ab"},
        "failed, not repaired": {"repaired": "no"},
        "failed, repaired by a relaunch": failed | {"ended": "24h", "repaired": "yes"},
        "a busy workflow": busy,
        "a rare workflow": rare,
        "a retired workflow": retired,
        "a busy workflow, failed": busy | failed,
        "a workflow without failures, failed": healthy | failed,
        "failed, a month long ago": failed | long_ago,
        "waits for you": {"waits": "you"},
        "retrying": {"retrying": "1"},
        "a busy user": {"user": BUSY_USER},
        "a rare user": {"user": RARE_USER},
        "a rare user, failed": {"user": RARE_USER} | failed,
        "a busy user, trigger relaunch": {"user": BUSY_USER, "trigger__exact": "relaunch"},
        "failed, trigger manual": failed | {"trigger__exact": "manual"},
        "failed, ended in the last week": failed | {"ended": "7d"},
        "a rare workflow, today": rare | {"created_at__gte": _day(1)},
        "a busy workflow, trigger webhook": busy | {"trigger__exact": "webhook"},
        "canceled child runs": {"place": "children", "status__exact": "canceled"},
        "sorted by status": {"o": "2"},
        "sorted by user": {"o": "-7"},
    }
    filters |= {f"search {what}": {"q": text} for what, text in _terms().items()}
    return _addresses("admin runs", reverse("admin:django_director_run_changelist"), filters)


def _tasks() -> dict[str, str]:
    from django.urls import reverse

    statuses = ("success", "queued", "running", "pending", "waiting", "failed", "canceled", "skipped")
    filters: dict[str, dict[str, object]] = {
        "all": {},
        **{f"status {status}": {"status__exact": status} for status in statuses},
        "waiting for you": {"decision": "you"},
        "hooks": {"is_hook__exact": 1},
        "a busy workflow": {"run__workflow__id__exact": _workflow(BUSY)},
        "a rare workflow": {"run__workflow__id__exact": _workflow(RARE)},
        "a rare workflow, failed": {"run__workflow__id__exact": _workflow(RARE), "status__exact": "failed"},
        "a workflow without failures, failed": {
            "run__workflow__id__exact": _workflow(HEALTHY),
            "status__exact": "failed",
        },
        "a busy workflow, waiting": {"run__workflow__id__exact": _workflow(BUSY), "status__exact": "waiting"},
        "oldest first": {"o": "4"},
        "search a step": {"q": "load"},
        "search nothing": {"q": NOWHERE},
        "search an id": {"q": _an_id()},
    }
    return _addresses("admin tasks", reverse("admin:django_director_task_changelist"), filters)


def _api() -> dict[str, str]:
    from django.urls import reverse

    filters: dict[str, dict[str, object]] = {
        "all": {},
        "status failed,canceled": {"status": "failed,canceled"},
        "trigger webhook": {"trigger": "webhook"},
        "a rare workflow": {"workflow": RARE},
        "a retired workflow": {"workflow": RETIRED},
        "a workflow without failures, failed": {"workflow": HEALTHY, "status": "failed"},
        "a busy user": {"user": BUSY_USER},
        "a rare user": {"user": RARE_USER},
        "before long ago": {"created_before": _day(350)},
        "failed, before long ago": {"created_before": _day(350), "status": "failed"},
        **{f"search {what}": {"search": text} for what, text in _terms().items()},
    }
    return _addresses("API runs", reverse("django_director:api-runs"), filters)


def _others() -> dict[str, str]:
    from django.urls import reverse

    from django_director.models import Run

    run = Run.objects.filter(workflow__name=BUSY).order_by("-pk")[0].pk
    return {
        "admin, overview": reverse("admin:django_director_overview"),
        "admin workflows": reverse("admin:django_director_workflow_changelist"),
        "admin, page of a run": reverse("admin:django_director_run_change", args=[run]),
        "admin, page of a workflow": reverse("admin:django_director_workflow_change", args=[_workflow(BUSY)]),
        "API workflows": reverse("django_director:api-workflows"),
        "API tasks of a run": reverse("django_director:api-run-tasks", args=[run]),
    }


def _terms() -> dict[str, str]:
    return {
        "a word of many comments": "ticket",
        "a word of many errors": "503",
        "a rare word of errors": "card 7",
        "a part of many names": "crowd.W4",
        "nothing": NOWHERE,
        "a retired workflow": RETIRED,
        "a rare user": RARE_USER,
        "an id": _an_id(),
    }


def _an_id() -> str:
    from django_director.models import Run

    return str(Run.objects.order_by("pk")[10].pk)[:18]


def _workflow(name: str) -> int:
    from django_director.models import Workflow

    return int(Workflow.objects.get(name=name).pk)


def _day(days: int) -> str:
    from django.utils import timezone

    return (timezone.now() - timedelta(days=days)).isoformat()


def _addresses(title: str, path: str, filters: dict[str, dict[str, object]]) -> dict[str, str]:
    return {f"{title}: {name}": f"{path}?{urlencode(given)}" for name, given in filters.items()}
