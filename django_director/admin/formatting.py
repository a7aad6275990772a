"""Turns values into the texts that pages show."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.serializers.json import DjangoJSONEncoder
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from django_director.common.languages import count_of as count_of
from django_director.common.languages import number as number
from django_director.common.texts import escaped
from django_director.common.texts import readable as readable
from django_director.common.times import aware
from django_director.drawing.icons import icon
from django_director.drawing.picture import shorten
from django_director.masking.values import mask
from django_director.models import Attempt, Run, Task
from django_director.status import RunStatus, TaskStatus

SHOWN: Final = 20_000
"""How many characters of a payload, a result or a traceback a page shows."""
LARGE: Final = 200_000
"""A value with more characters of JSON on one line is large: indented it may have many times as many."""
NAME_SHOWN: Final = 80
ERROR_SHOWN: Final = 200
NOTHING: Final = "-"
_QUOTED: Final = re.compile("`([^`]*)`")
UNITS: Final[dict[str, Any]] = {
    "ms": pgettext_lazy("unit of time", "ms"),
    "s": pgettext_lazy("unit of time", "s"),
    "min": pgettext_lazy("unit of time", "min"),
    "h": pgettext_lazy("unit of time", "h"),
    "d": pgettext_lazy("unit of time", "d"),
}
KINDS: Final[dict[str, Any]] = {
    "map": gettext_lazy("map"),
    "workflow": gettext_lazy("workflow"),
    "approval": gettext_lazy("approval"),
    "wait": gettext_lazy("wait"),
    "group": gettext_lazy("group"),
    "chain": gettext_lazy("chain"),
}
"""The names of the kinds of step that the engine works itself."""
STATUS_LABELS: Final[dict[str, Any]] = {
    **{each.value: each.label for each in (*Attempt.Outcome, *RunStatus, *TaskStatus)},
    "paused": pgettext_lazy("status", "paused"),
    "canceling": pgettext_lazy("status", "canceling"),
}


class Text(NamedTuple):
    """A text that may be too long to be shown as a whole."""

    text: str
    note: str


def limited(text: str) -> Text:
    """Return the first ``SHOWN`` characters and, if some are missing, a note that says so."""
    missing = len(text) - SHOWN
    if missing <= 0:
        return Text(readable(text), "")
    note = ngettext(
        "%(missing)s further character is not shown.", "%(missing)s further characters are not shown.", missing
    )
    return Text(readable(text[:SHOWN]), note % {"missing": number(missing)})


def limited_end(text: str) -> Text:
    """Return the last ``SHOWN`` characters, beginning with a whole line, and a note if some are missing."""
    if len(text) <= SHOWN:
        return Text(readable(text), "")
    return Text(readable(text[-SHOWN:].partition("\n")[2]), _("Only the end is shown."))


def json_text(value: object, schema: object = None) -> Text:
    """Return a JSON value as people read it, with secrets masked."""
    masked = mask(value, schema)
    if len(json.dumps(masked, cls=DjangoJSONEncoder)) > LARGE:
        return _json_beginning(masked)
    return limited(escaped(json.dumps(masked, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False)))


def _json_beginning(value: object) -> Text:
    """Return the first ``SHOWN`` characters of a large JSON value; the rest is never made."""
    text = ""
    for part in DjangoJSONEncoder(indent=2, ensure_ascii=False).iterencode(value):
        text += part
        if len(text) > SHOWN:
            return Text(escaped(text[:SHOWN]), _("Only the beginning is shown."))
    return Text(escaped(text), "")


def status_label(status: str) -> str:
    """Return the word for a status of a run, a task or an attempt."""
    return str(STATUS_LABELS.get(status, status))


def kind_label(kind: str) -> str:
    """Return the name of a kind of step."""
    return str(KINDS.get(kind, kind))


def badge(status: str, label: str = "") -> SafeString:
    """Return a status as coloured text with its icon."""
    return format_html(
        '<span class="director-badge director-{}">{}<span>{}</span></span>',
        status,
        icon(status),
        label or status_label(status),
    )


def moment(value: datetime | None) -> str:
    """Return a time in the current time zone, to the second."""
    return timezone.localtime(aware(value)).strftime("%Y-%m-%d %H:%M:%S") if value else NOTHING


def in_zones(value: datetime, name: str | None) -> tuple[str, str]:
    """Return a time in the time zone of this name, or else in the current one, and in UTC; both to the second."""
    zone = ZoneInfo(name) if name else timezone.get_current_timezone()
    local, universal = (aware(value).astimezone(each).strftime("%Y-%m-%d %H:%M:%S") for each in (zone, UTC))
    return local, universal


def clock(value: datetime) -> str:
    """Return the time of day in the current time zone, to the minute; of another day than today with the date."""
    local, today = timezone.localtime(aware(value)), timezone.localtime(datetime.now(UTC)).date()
    return local.strftime("%H:%M" if local.date() == today else "%Y-%m-%d %H:%M")


def zone() -> str:
    """Return the name of the time zone in which pages show times."""
    return timezone.get_current_timezone_name()


def when(value: datetime | None) -> SafeString | str:
    """Return how far a time is from now, and the time of day: ``3 min ago · 20:11``; the rest stands in its title.

    Of another day than today it shows the date too. ``data-ago`` lets the script of a live page keep it right.
    """
    if value is None:
        return NOTHING
    local, now = timezone.localtime(aware(value)), timezone.localtime(datetime.now(UTC))
    seconds_ago = (now - local).total_seconds()
    text = _("%(time)s ago") if seconds_ago >= 0 else _("in %(time)s")
    return format_html(
        '<time datetime="{}" title="{} {}" data-ago>{} · {}</time>',
        local.isoformat(timespec="seconds"),
        local.strftime("%Y-%m-%d %H:%M:%S"),
        zone(),
        text % {"time": roughly(abs(seconds_ago))},
        clock(value),
    )


def roughly(value: float) -> str:
    """Return seconds in one unit: ``8 s``, ``3 min``, ``2 h``, ``5 d``."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if value >= size:
            return f"{int(value // size)} {_unit(unit)}"
    return f"{int(value)} {_unit('s')}"


def _unit(name: str) -> str:
    return str(UNITS[name])


def quoted(text: str) -> str:
    """Return a text between the quotation marks of the language."""
    return _("“%(text)s”") % {"text": text}


def unbroken(text: str) -> SafeString:
    """Return a value in such a way that it stays on one line of a list."""
    return format_html('<span class="director-number">{}</span>', text)


def seconds(value: float | None) -> str:
    """Return seconds in at most two units: ``340 ms``, ``3.2 s``, ``4 min 05 s``, ``2 h 07 min``, ``3 d 04 h``."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{max(0, round(value * 1000))} {_unit('ms')}"
    if value < 60:
        return f"{number(value, '.1f')} {_unit('s')}"
    if value < 3600:
        return f"{int(value // 60)} {_unit('min')} {int(value % 60):02} {_unit('s')}"
    if value < 86_400:
        return f"{int(value // 3600)} {_unit('h')} {int(value % 3600 // 60):02} {_unit('min')}"
    return f"{int(value // 86_400)} {_unit('d')} {int(value % 86_400 // 3600):02} {_unit('h')}"


def elapsed(row: Run | Task) -> str:
    """Return how long a run or task took, or has taken so far."""
    begun = counted_from(row)
    if row.duration is not None or begun is None or row.is_finished:
        return seconds(row.duration)
    return seconds(seconds_so_far(row, datetime.now(UTC)))


def seconds_so_far(row: Run | Task, now: datetime) -> float:
    """Return the seconds that an unfinished run or task has taken until ``now``; a paused run, until its pause."""
    begun = counted_from(row)
    until = aware(row.paused_at if isinstance(row, Run) else None) or now
    return (until - aware(begun)).total_seconds() if begun else 0.0


def counted_from(row: Run | Task) -> datetime | None:
    """Return the time from which the duration of a run or task counts; ``None`` if it has not started."""
    return (row.counted_from if isinstance(row, Run) else None) or row.started_at


def timing(schedule: dict[str, Any]) -> str:
    """Return when a schedule runs: ``every 30 s``, ``0 7 * * 1-5 (off)``."""
    text = str(schedule["value"])
    if schedule["kind"] == "interval":
        text = _("every %(period)s") % {"period": _period(float(text))}
    return text if schedule["enabled"] else _("%(schedule)s (off)") % {"schedule": text}


def _period(value: float) -> str:
    """Return seconds in one unit if they are a whole number of it: ``40 s``, ``5 min``, but ``1 min 30 s``."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if value >= size and value % size == 0 and (size > 1 or value < 60):
            return f"{int(value // size)} {UNITS[unit]}"
    return seconds(value)


def name(text: str) -> str:
    """Return a name cut to a bounded length, because names may come from anywhere."""
    return shorten(text, NAME_SHOWN)


def sentence(text: object) -> str:
    """Return a text of a terminal as pages show it: with a capital letter, and quotes in place of backticks."""
    shown = str(text)
    return _QUOTED.sub("“\\1”", shown[:1].upper() + shown[1:])


def shortened_line(text: str, length: int) -> str:
    """Return the first line of a text, cut to a length."""
    return shorten(text.partition("\n")[0], length)


def error_line(text: str) -> str:
    """Return the first line of an error, shortened."""
    return shorten(text.partition("\n")[0], ERROR_SHOWN)


def short_id(pk: UUID) -> str:
    """Return the milliseconds in a UUIDv7: they are enough to recognise a run, and to search for it."""
    return str(pk)[:13]


def address(page: str, *args: object, site: str = "admin") -> str:
    """Return the address of a page of this app in the admin site ``site``."""
    return reverse(f"admin:django_director_{page}", args=args, current_app=site)


def masked_note() -> str:
    """Return the note that stands in place of values that the user may not see."""
    return _("You need the permission “Can view payloads, results and tracebacks” to see this.")
