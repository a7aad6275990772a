"""The columns of the list of workflows; the list has read ``record`` and ``timings`` of each row at once."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from django_director.models import Workflow
from django_director.presentation import reliability
from django_director.presentation.track_records import STRIP, Record

from . import formatting, returns, schedule_pages, strips

# On phones, where a row is a card without headings, there is none.
_NOTHING: Final = format_html('<span class="director-broad">{}</span>', formatting.NOTHING)
DESCRIPTION_SHOWN: Final = 100
SCHEDULES_SHOWN: Final = 3
REASON_SHOWN: Final = 200


def title(workflow: Workflow) -> SafeString:
    """Return the name; below it the description, and whether the workflow has left the files."""
    summary = str(getattr(workflow, "summary", None) or "")
    return format_html(
        '<bdi>{}</bdi><span class="director-about"><bdi>{}</bdi> {}</span>',
        formatting.readable(formatting.name(workflow.name)),
        formatting.readable(formatting.shortened_line(summary, DESCRIPTION_SHOWN)),
        "" if workflow.is_active else formatting.badge("paused", _("has left the files")),
    )


def recent(workflow: Workflow, site: str) -> SafeString | str:
    """Return the last runs as bars, as high as they took long."""
    runs = _record(workflow).runs
    return strips.draw(runs, site) if runs else _NOTHING


def successes(workflow: Workflow) -> SafeString | str:
    """Return the share of successes, since when the last runs fail, and when one was a success."""
    record = _record(workflow)
    if record.rate is None and record.usual is None:
        return _NOTHING
    lines = [_share(record), _failing(record), _last_success(record)]
    return format_html_join("", '<div class="director-fact">{}</div>', ((line,) for line in lines if line))


def _share(record: Record) -> SafeString | str:
    if record.rate is None:
        return ""
    about = _("Of the last %(n)s runs within 30 days, so many were a success without a retry")
    text = _("%(rate)s %% without a retry") % {"rate": record.rate}
    return format_html('<span title="{}">{}</span>', about % {"n": record.ended}, text)


def _failing(record: Record) -> SafeString | str:
    found = reliability.of_runs(record.runs[::-1])
    if not found.failing:
        return ""
    number = f"{found.failing}+" if found.failing == STRIP else str(found.failing)
    text = ngettext("%(n)s failure", "%(n)s failures in a row", found.failing) % {"n": number}
    return format_html(
        "{} {} {}",
        formatting.badge("failed", text),
        pgettext("failures since a time", "since"),
        formatting.when(found.failing_since),
    )


def _last_success(record: Record) -> SafeString | str:
    usual = record.usual
    return format_html("{} {}", _("last success"), formatting.when(usual.last_success)) if usual else ""


def takes(workflow: Workflow) -> SafeString | str:
    """Return the median of the durations, and the duration that 95 % do not exceed."""
    usual = _record(workflow).usual
    if usual is None:
        return _NOTHING
    label = format_html('<span class="director-narrow">{} </span>', _("usually takes"))
    text = label + formatting.unbroken(formatting.seconds(usual.seconds))
    if usual.slow is None:
        return text
    slow = _("95 %% within %(time)s") % {"time": formatting.seconds(usual.slow)}
    return format_html('{}<br><span class="director-quiet">{}</span>', text, slow)


def planned(workflow: Workflow, site: str) -> SafeString | str:
    """Return each schedule with its next time and, for those who may, the button that switches it."""
    timings: list[dict[str, Any]] = workflow.timings  # type: ignore[attr-defined]
    more = len(timings) - SCHEDULES_SHOWN
    lines = [_schedule(workflow, timing, site) for timing in timings[:SCHEDULES_SHOWN]]
    lines += (
        [format_html("{}", ngettext("and %(n)s more", "and %(n)s more", more) % {"n": more})] if more > 0 else []
    )
    return format_html_join("", '<div class="director-planned">{}</div>', ((line,) for line in lines)) or _NOTHING


def _schedule(workflow: Workflow, timing: dict[str, Any], site: str) -> SafeString:
    due = formatting.when(timing["next_run_at"]) if timing["next_run_at"] else _("off")
    text = formatting.timing({**timing, "enabled": True})
    name = formatting.readable(formatting.name(timing["name"]))
    return format_html(
        '<span title="{}">{} <span class="director-quiet">{}</span></span> {}{}',
        f"{name} {timing['timezone'] or ''}".strip(),
        formatting.unbroken(formatting.readable(text)),
        due,
        _switch_button(workflow, timing, site) if workflow.may_switch else "",  # type: ignore[attr-defined]
        _obstacle(timing),
    )


def _obstacle(timing: dict[str, Any]) -> SafeString | str:
    """Return that a schedule can't start a run, and why; empty for one that can."""
    if timing["obstacle"] is None:
        return ""
    reason = formatting.shortened_line(formatting.sentence(timing["obstacle"].advice), REASON_SHOWN)
    return format_html(
        '<br>{} <span class="director-about"><bdi>{}</bdi></span>',
        formatting.badge("failed", _("can't start a run")),
        formatting.readable(reason),
    )


def _switch_button(workflow: Workflow, timing: dict[str, Any], site: str) -> SafeString:
    """Return a button inside the form of Django's list: it sends that form to another address."""
    address = formatting.address("workflow_schedule_switch", workflow.pk, timing["pk"], site=site)
    return format_html(
        '<button type="submit" class="director-schedule-switch" formaction="{}?{}" name="to" value="{}" '
        'aria-label="{}">{}</button>',
        address,
        urlencode({returns.FIELD: workflow.listed_at}),  # type: ignore[attr-defined]
        "off" if timing["enabled"] else "on",
        schedule_pages.switch_label(timing),
        _("Switch off") if timing["enabled"] else _("Switch on"),
    )


def _record(workflow: Workflow) -> Record:
    found: Record = workflow.record  # type: ignore[attr-defined]
    return found
