"""How values read on the pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.drawing.icons import icon
from django_director.drawing.picture import shorten
from django_director.masking.values import mask
from django_director.models import Run, Task

SHOWN: Final = 20_000
"""How many characters of a payload, a result or a traceback a page shows."""
LARGE: Final = 200_000
"""Characters of JSON on one line. Indented, a larger value may have many times as many, which nobody counts."""
NAME_SHOWN: Final = 80
ERROR_SHOWN: Final = 200
NOTHING: Final = "-"


class Text(NamedTuple):
    """A text that may be too long to be shown as a whole."""

    text: str
    note: str


def limited(text: str) -> Text:
    """The first ``SHOWN`` characters and, if something is missing, a note that says so."""
    missing = len(text) - SHOWN
    if missing <= 0:
        return Text(text, "")
    note = ngettext(
        "%(missing)s further character is not shown.", "%(missing)s further characters are not shown.", missing
    )
    return Text(text[:SHOWN], note % {"missing": f"{missing:,}"})


def limited_end(text: str) -> Text:
    """The last ``SHOWN`` characters, from a whole line on, and a note if something is missing."""
    if len(text) <= SHOWN:
        return Text(text, "")
    return Text(text[-SHOWN:].partition("\n")[2], _("Only the end is shown."))


def json_text(value: object, schema: object = None) -> Text:
    """A JSON value as people read it, secrets masked."""
    masked = mask(value, schema)
    if len(json.dumps(masked, cls=DjangoJSONEncoder)) > LARGE:
        return _beginning(masked)
    return limited(json.dumps(masked, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))


def _beginning(value: object) -> Text:
    """What fits on a page of a large JSON value: no more of it is written."""
    text = ""
    for part in DjangoJSONEncoder(indent=2, ensure_ascii=False).iterencode(value):
        text += part
        if len(text) > SHOWN:
            return Text(text[:SHOWN], _("Only the beginning is shown."))
    return Text(text, "")


def status_label(status: str) -> str:
    return status.replace("_", " ")


def badge(status: str, label: str = "") -> SafeString:
    """A status as coloured text with its icon."""
    return format_html(
        '<span class="director-badge director-{}">{}<span>{}</span></span>',
        status,
        icon(status),
        label or status_label(status),
    )


def strip(runs: Sequence[Run], site: str) -> SafeString:
    """Runs as a row of small coloured squares, each a link; screen readers hear the status."""
    return format_html(
        '<span class="director-strip">{}</span>',
        format_html_join(
            "",
            '<a class="director-{}" href="{}" title="{}">{}<span class="director-hidden">{}</span></a>',
            (
                (
                    run.shown_status,
                    address("run_change", run.pk, site=site),
                    f"{status_label(run.shown_status)}, {moment(run.created_at)}",
                    icon(run.shown_status),
                    status_label(run.shown_status),
                )
                for run in runs
            ),
        ),
    )


def moment(value: datetime | None) -> str:
    """A time in the current zone to the second."""
    return timezone.localtime(value).strftime("%Y-%m-%d %H:%M:%S") if value else NOTHING


def unbroken(text: str) -> SafeString:
    """A value that should stay on one line of a list."""
    return format_html('<span class="director-number">{}</span>', text)


def seconds(value: float | None) -> str:
    """A duration in at most two units: ``340 ms``, ``3.2 s``, ``4 min 05 s``, ``2 h 07 min``, ``3 d 04 h``."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{max(0, round(value * 1000))} ms"
    if value < 60:
        return f"{value:.1f} s"
    if value < 3600:
        return f"{int(value // 60)} min {int(value % 60):02} s"
    if value < 86_400:
        return f"{int(value // 3600)} h {int(value % 3600 // 60):02} min"
    return f"{int(value // 86_400)} d {int(value % 86_400 // 3600):02} h"


def elapsed(row: Run | Task) -> str:
    """How long it took, or takes so far."""
    if row.duration is not None or row.started_at is None or row.is_finished:
        return seconds(row.duration)
    return seconds((timezone.now() - row.started_at).total_seconds())


def timing(schedule: dict[str, Any]) -> str:
    """When a schedule runs: ``every 30.0 s``, ``crontab 0 7 * * 1-5 (off)``."""
    text = str(schedule["value"])
    if schedule["kind"] == "interval":
        text = _("every %(period)s") % {"period": seconds(float(text))}
    return text if schedule["enabled"] else _("%(schedule)s (off)") % {"schedule": text}


def name(text: str) -> str:
    """A name of bounded length, for it may come from anywhere."""
    return shorten(text, NAME_SHOWN)


def error_line(text: str) -> str:
    """The first line of an error, shortened."""
    return shorten(text.partition("\n")[0], ERROR_SHOWN)


def short_id(pk: UUID) -> str:
    """The milliseconds of a UUIDv7: enough to recognise a run, and to search for it."""
    return str(pk)[:13]


def progress(counts: dict[str, int], finished: frozenset[Any]) -> tuple[int, int]:
    """How many tasks are finished, and of how many."""
    return sum(number for status, number in counts.items() if status in finished), sum(counts.values())


def address(page: str, *args: object, site: str = "admin") -> str:
    """The address of a page of ours in the admin site of this name."""
    return reverse(f"admin:django_director_{page}", args=args, current_app=site)


def masked_note() -> str:
    """What stands in place of what the user may not see."""
    return _("You need the permission “Can view payloads, results and tracebacks” to see this.")
