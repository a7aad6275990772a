"""The system page: workers, queues, supervisor, beat, workflow files, retention, servers and settings.

It shows what ``presentation.health`` knows, as ``GET health/`` and ``directorstatus`` do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.access.authorization import is_allowed
from django_director.conf import director
from django_director.models.users import User
from django_director.presentation import health, system_details

from . import formatting, vital_signs


def context(request: HttpRequest) -> dict[str, Any]:
    """Return what the template needs to show the state of the system to the user of a request."""
    found = health.read_health(
        with_names=sees_files(request.user),
        with_details=is_allowed(request.user, "view_system"),
        broker_seconds=vital_signs.BROKER_SECONDS,
    )
    problems = vital_signs.problems(found)
    return {
        "title": _("System"),
        "is_well": not problems,
        "headline": _headline(len(problems)),
        "problems": problems,
        "warnings": [formatting.sentence(text) for text in found["warnings"]],
        "signs": list(_signs(found)),
        "workers": [_worker(worker) for worker in found["workers"]],
        "queues": [vital_signs.queue_for_page(queue) for queue in found["queues"]],
        "files": found["files"],
        "retention": _retention(found["retention"]) if found["retention"] else [],
        "servers": _servers(found["servers"]) if "servers" in found else [],
        "settings": [_setting(each) for each in found.get("settings", ())],
        "zone": formatting.zone(),
    }


def banner(user: User) -> list[str]:
    """Return what is wrong with the workflow files, for a user who may see them; mostly that takes no query."""
    if not (is_allowed(user, "view_workflow") and sees_files(user)):
        return []
    return [
        formatting.sentence(text) for text in system_details.warnings(system_details.files_state(with_names=True))
    ]


def sees_files(user: User) -> bool:
    """Whether a user may see the names of all workflows: with rules of its own a site may hide some."""
    return not director.AUTHORIZE or is_allowed(user, "view_system")


def _headline(problems: int) -> str:
    if not problems:
        return _("All that runs need is alive.")
    return ngettext("%(n)s thing needs attention.", "%(n)s things need attention.", problems) % {"n": problems}


def _signs(found: health.Json) -> Iterator[tuple[str, str, SafeString | str]]:
    """Yield the parts of the system, each with its status and its last sign of life."""
    yield _("Database"), _status(found["database"]), _("answers") if found["database"] else _("does not answer")
    yield _("Broker"), _status(found["broker"]), _("answers") if found["broker"] else _("does not answer")
    supervisor, beat = found["supervisor"], found["beat"]
    is_lost = supervisor is None or supervisor["seconds"] > health.OLD_TICK
    yield _("Supervisor"), _status(not is_lost), _sign(supervisor) if supervisor else _("none is running")
    if beat:
        is_late = bool(found["late_schedules"]) or beat["seconds"] > health.BEAT_SILENCE
        yield _("Beat"), _status(not is_late), _sign(beat)
    elif found["late_schedules"]:
        yield _("Beat"), _status(False), _("has not sent what is due")
    if found["unwritten"]:
        text = ngettext(
            "%(n)s outcome waits for the lock of another database session",
            "%(n)s outcomes wait for locks of other database sessions",
            found["unwritten"],
        )
        yield _("Locks"), "paused", text % {"n": formatting.number(found["unwritten"])}


def _status(is_well: bool) -> str:
    return "success" if is_well else "failed"


def _sign(sign: health.Json) -> str:
    times = {"name": formatting.name(sign["name"]), "time": formatting.roughly(sign["seconds"])}
    return _("%(name)s, %(time)s ago") % times


def _worker(worker: health.Json) -> dict[str, Any]:
    versions = worker["versions"] or {}
    return {
        "name": formatting.name(worker["name"]),
        "status": _status(not worker["is_lost"]),
        "seen": formatting.when(datetime.fromisoformat(worker["seen_at"])),
        "started": formatting.when(datetime.fromisoformat(worker["started_at"])),
        "running": worker["running"],
        "queues": None if worker["queues"] is None else ", ".join(worker["queues"]),
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def _retention(found: health.Json) -> list[str]:
    """Return in sentences which finished runs are deleted, and when that was done last."""
    offset, days, at = found["offset"], found["days"], found["cleaned_at"]
    sentences = []
    if offset is not None and offset >= 0:
        text = _("Of each workflow the last %(n)s finished runs are kept.")
        sentences.append(text % {"n": formatting.number(offset)})
    if days is not None:
        text = ngettext(
            "Finished runs are deleted when they are %(n)s day old.",
            "Finished runs are deleted when they are %(n)s days old.",
            int(days),
        )
        sentences.append(text % {"n": f"{days:g}"})
    sentences = sentences or [_("All finished runs are kept.")]
    sentences.append(_("A workflow may have a rule of its own, its “retention”."))
    when = formatting.moment(datetime.fromisoformat(at)) if at else ""
    last = _("Last clean-up: %(time)s.") % {"time": when}
    return [*sentences, last if at else _("No clean-up yet.")]


def _servers(found: health.Json) -> list[tuple[str, str]]:
    web = ", ".join(f"{name} {number}" for name, number in found["web"].items())
    return [(_("Database"), found["database"]), (_("Broker"), found["broker"]), (_("This web server"), web)]


def _setting(each: health.Json) -> tuple[str, str, bool]:
    return each["name"], json.dumps(each["value"], ensure_ascii=False), each["is_set"]
