"""The state of the engine, as ``GET health/`` and ``directorstatus`` show it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from django.db import DatabaseError, InterfaceError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.common.kept import Kept
from django_director.common.languages import in_english, lazy_text, number
from django_director.conf import director
from django_director.db.functions import iso
from django_director.db.lock_limits import limited_reads
from django_director.db.transactions import connection
from django_director.db.unapplied import unapplied
from django_director.dispatch import remote_control
from django_director.engine.supervisor.leadership import LEASE_NAME
from django_director.schedules import beat_signs, overdue, reasons
from django_director.schedules.enabled import Enabled

from . import served_queues, server_problems, system_details, vital_rows
from .served_queues import Backlog, Workers
from .vital_rows import Sign

Json = dict[str, Any]

OLD_TICK: Final = 30.0
"""After so many seconds without work of a supervisor something is wrong."""


BEAT_SILENCE: Final = beat_signs.SILENCE
LOCK_SECONDS: Final = 2.0
"""How many seconds each of its questions to the database waits for a table that another session has locked."""


_UNKNOWN: Final[Json] = {
    "database": False,
    **dict.fromkeys(("supervisor", "beat", "oldest_queued", "files", "retention")),
    "workers": [],
    "queues": [],
    "late_schedules": [],
    "blocked_schedules": [],
    "unwritten": 0,
}
"""What is found while the database does not answer."""


def read_health(
    *,
    with_names: bool = True,
    with_details: bool = True,
    with_files: bool = True,
    broker_seconds: float = 0.0,
    with_migrations: bool = True,
    is_limited: bool = True,
    schedules: Enabled | None = None,
) -> Json:
    """Return the state of database, broker, supervisor, workers, queues, beat, workflow files and retention.

    ``problems`` is empty if all is well; what stands in ``warnings`` harms no run. If the broker does not answer,
    this takes a few seconds, unless this process has asked it within the last ``broker_seconds``. The names of
    schedules, and the problems of files, contain those of workflows, and those of queues may: without
    ``with_names`` they are left out. ``with_details`` adds versions, addresses and settings; ``with_files`` may
    read the workflow files, and ``with_migrations`` asks whether the database has all tables. The limit for locks
    takes statements of its own: a page that reads the same tables without one needs none here (``is_limited``).
    ``schedules`` are for a caller who shows them too, or has another limit for the time that checks of their
    payloads take.
    """
    refusal = _broker.answer(broker_seconds)
    found: Json = {"healthy": False, "problems": [], "warnings": [], "database": True, "broker": not refusal}
    try:
        with limited_reads(connection(), LOCK_SECONDS) if is_limited else contextlib.nullcontext():
            found |= _rows(with_names=with_names, with_migrations=with_migrations, schedules=schedules)
            found["files"] = system_details.files_state(with_names=with_names) if with_files else None
            found |= system_details.read() if with_details else {}
    except (DatabaseError, InterfaceError) as error:
        found |= {**_UNKNOWN, "problems": [server_problems.of_database(error)]}
    else:
        found["problems"] += _supervisor_problems(found["supervisor"])
        if not with_names:
            _hide_queues(found)
        found["problems"] += (lazy_text(_queue_problem, queue) for queue in found["queues"] if is_unserved(queue))
        found["warnings"] += system_details.warnings(found["files"])
    if not found["broker"]:
        found["problems"].append(server_problems.of_broker(refusal))
    found["healthy"] = not found["problems"]
    return found


def for_programs(found: Json) -> Json:
    """Return what ``read_health`` has found with its texts in English, whatever the language of the request is."""
    texts = {name: [in_english(str, text) for text in found[name]] for name in ("problems", "warnings")}
    blocked = [
        {**each, "reason": each["reason"] and in_english(str, each["reason"])}
        for each in found["blocked_schedules"]
    ]
    files = found["files"]
    changed = {**files, "changes": [in_english(str, text) for text in files["changes"]]} if files else files
    return {**found, **texts, "blocked_schedules": blocked, "files": changed}


def is_healthy(seconds: float) -> bool:
    """Whether nothing is wrong; what this process has found out within the last ``seconds`` is used again."""
    return _status.answer(seconds)


def _find_out() -> bool:
    return bool(read_health(with_details=False, with_files=False)["healthy"])


_broker: Final = Kept(lambda: remote_control.broker_refusal())
_status: Final = Kept(_find_out)


def _rows(*, with_names: bool = True, with_migrations: bool = False, schedules: Enabled | None = None) -> Json:
    rows, schedules = vital_rows.read(), schedules or Enabled()
    signs, living = rows.signs, Workers(rows.workers)
    late, beat = overdue.find_late(schedules.rows), _sign_of(signs.get(beat_signs.NAME))
    blocked = schedules.obstacles
    return {
        "problems": [
            *server_problems.of_migrations(unapplied(connection()) if with_migrations else ()),
            *reasons.sentences(blocked, with_names),
            *_beat_problems(beat, late, len(schedules.rows), with_names=with_names),
        ],
        "supervisor": _sign_of(signs.get(LEASE_NAME)),
        "beat": beat,
        "retention": system_details.retention(signs.get(system_details.CLEANING)),
        "workers": [
            _sign_of_life(worker.name, worker.seen_at, worker.now)
            | {"started_at": iso(worker.started_at), "queues": worker.queues, "versions": worker.versions}
            | {"running": rows.running.get(worker.key, 0), "is_lost": not served_queues.is_living(worker)}
            for worker in rows.workers
        ],
        "queues": [_queue(backlog, living) for backlog in rows.backlogs],
        "oldest_queued": _oldest(rows.backlogs),
        "late_schedules": [
            {
                "name": each.name if with_names else None,
                "due_at": iso(each.due),
                "seconds": round(each.seconds, 1),
            }
            for each in late
        ],
        "blocked_schedules": [_blocked(each, with_names=with_names) for each in blocked],
        "unwritten": rows.unwritten,
    }


def _blocked(each: reasons.Obstacle, *, with_names: bool) -> Json:
    if not with_names:
        return dict.fromkeys(("name", "workflow", "reason"))
    return {"name": each.schedule, "workflow": each.workflow or None, "reason": lazy_text(str, each.reason)}


def _oldest(backlogs: list[Backlog]) -> Json | None:
    """Return since when the oldest waiting task waits for a worker; ``None`` if none waits."""
    return _since(backlogs[0]) if backlogs else None


def _queue(backlog: Backlog, living: Workers) -> Json:
    """Return how many tasks wait in a queue, and the names of the workers that take tasks from it."""
    return {
        "name": backlog.queue or None,
        "tasks": backlog.tasks,
        **_since(backlog),
        "workers": [] if living.lack(backlog.queue) else living.of(backlog.queue),
        "is_served": not living.lack(backlog.queue),
    }


def _hide_queues(found: Json) -> None:
    """Take the names of queues out."""
    for queue in found["queues"]:
        queue["name"] = None
    for worker in found["workers"]:
        worker["queues"] = None


def _since(backlog: Backlog) -> Json:
    return {"queued_at": iso(backlog.since), "seconds": round(backlog.seconds, 1)}


def is_unserved(queue: Json) -> bool:
    """Whether tasks wait in a queue without a worker for so long that people should know."""
    return not queue["is_served"] and queue["seconds"] > served_queues.UNSERVED_SECONDS


def newly_unserved(found: Json) -> list[str]:
    """Return in sentences which queues no worker serves, although not yet for so long that it is a problem."""
    return [
        _new_queue_problem(queue) for queue in found["queues"] if not (queue["is_served"] or is_unserved(queue))
    ]


def _new_queue_problem(queue: Json) -> str:
    waiting, name = queue["tasks"], queue["name"]
    if name:
        text = ngettext(
            "no worker takes tasks from queue `%(queue)s`: %(n)s task waits; %(cure)s",
            "no worker takes tasks from queue `%(queue)s`: %(n)s tasks wait; %(cure)s",
            waiting,
        )
    else:
        text = ngettext(
            "no worker takes tasks from one of the queues: %(n)s task waits; %(cure)s",
            "no worker takes tasks from one of the queues: %(n)s tasks wait; %(cure)s",
            waiting,
        )
    return text % {"queue": name, "n": number(waiting), "cure": served_queues.way_out(name or "QUEUE")}


def _queue_problem(queue: Json) -> str:
    waiting, name = queue["tasks"], queue["name"]
    if name:
        text = ngettext(
            "no worker takes tasks from queue `%(queue)s`: "
            "%(n)s task waits, the oldest for %(minutes)s min; %(cure)s",
            "no worker takes tasks from queue `%(queue)s`: "
            "%(n)s tasks wait, the oldest for %(minutes)s min; %(cure)s",
            waiting,
        )
    else:
        text = ngettext(
            "no worker takes tasks from one of the queues: "
            "%(n)s task waits, the oldest for %(minutes)s min; %(cure)s",
            "no worker takes tasks from one of the queues: "
            "%(n)s tasks wait, the oldest for %(minutes)s min; %(cure)s",
            waiting,
        )
    return text % {
        "queue": name,
        "n": number(waiting),
        "minutes": number(round(queue["seconds"] / 60)),
        "cure": served_queues.way_out(name or "QUEUE"),
    }


def besides_workers(found: Json) -> list[Any]:
    """Return the problems but those that are there because no worker is alive: its queues, and its supervisor."""
    ended = {str(_queue_problem(queue)) for queue in found["queues"] if is_unserved(queue)}
    if director.SUPERVISOR != "process":
        ended.update(map(str, _supervisor_problems(found["supervisor"])))
    return [problem for problem in found["problems"] if str(problem) not in ended]


def _supervisor_problems(supervisor: Json | None) -> list[Promise]:
    if supervisor is None or supervisor["seconds"] > OLD_TICK:
        return [lazy_text(_supervisor_problem, None if supervisor is None else round(supervisor["seconds"]))]
    return []


def _supervisor_problem(seconds: int | None) -> str:
    if director.SUPERVISOR == "process":
        cure = _("start it with `manage.py superviseworkflows`, for DIRECTOR['SUPERVISOR'] is \"process\"")
    else:
        cure = _("start a worker, each has one: celery -A … worker")
    if seconds is None:
        return _("no supervisor is running: %(cure)s") % {"cure": cure}
    return _("no supervisor has worked for %(seconds)s s: %(cure)s") % {
        "seconds": number(seconds, "d"),
        "cure": cure,
    }


def _beat_problems(
    beat: Json | None, late: list[overdue.Late], enabled: int, *, with_names: bool
) -> Iterator[Promise]:
    """Yield that schedules are late or, before any is, that beat gives no sign while schedules are switched on."""
    if late:
        yield lazy_text(overdue.describe, late, with_names)
    elif enabled and beat is not None and beat["seconds"] > beat_signs.SILENCE:
        yield lazy_text(_silence_of_beat, beat["seconds"])


def _silence_of_beat(seconds: float) -> str:
    text = _("beat has given no sign for %(seconds)s s, so no schedule starts a run: start one: celery -A … beat")
    return text % {"seconds": number(seconds, ",.0f")}


def _sign_of(sign: Sign | None) -> Json | None:
    return None if sign is None else _sign_of_life(*sign)


def _sign_of_life(name: str, at: datetime, now: datetime) -> Json:
    return {"name": name, "seen_at": iso(at), "seconds": _seconds(at, now)}


def _seconds(since: datetime, now: datetime) -> float:
    return round(max(0.0, (now - since).total_seconds()), 1)
