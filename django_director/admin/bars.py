"""Draws the runs of the last hours as bars, in SVG: one bar an hour, divided by outcome, each part a link."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_director.drawing.faces import BY_CONCERN
from django_director.presentation.hours import Hour
from django_director.status import RunStatus

from . import formatting

WIDTH: Final = 14
"""The width of a bar with the gap beside it; all numbers are pixels."""
GAP: Final = 3
HEIGHT: Final = 72
LEAST: Final = 3
"""The least height of a part: one failure must be seen beside a thousand successes."""
AXIS: Final = 16
EVERY: Final = 6
"""Under each sixth bar stands its hour."""
SEGMENTS: Final = (*BY_CONCERN[-2:], *BY_CONCERN[:-2])
"""The statuses from the left of a bar to its right: what went as it should, then the rest by its importance."""
SEGMENTS_WIDTH: Final = 1000
LEAST_SEGMENT: Final = 12
"""So wide is a part at least: five failures must be seen among 20,000 tasks."""
STACKED: Final = (RunStatus.SUCCESS, RunStatus.CANCELED, RunStatus.FAILED)
"""The outcomes, from the bottom of a bar to its top."""


def draw_hours(hours: Sequence[Hour], address: Callable[..., str]) -> SafeString:
    """Return the bars; ``address`` returns that of the list of runs with some filters."""
    top = max((hour.total for hour in hours), default=0)
    width = WIDTH * len(hours)
    return format_html(
        '<svg class="director-bars" role="group" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">'
        '<line class="director-axis" x1="0" y1="{}" x2="{}" y2="{}"/>{}{}</svg>',
        _("Runs that ended in the last %(n)s hours, by outcome") % {"n": len(hours)},
        width,
        HEIGHT + AXIS,
        width,
        HEIGHT + AXIS,
        HEIGHT + 0.5,
        width,
        HEIGHT + 0.5,
        format_html_join(
            "", "{}", ((part,) for n, hour in enumerate(hours) for part in _bar(n, hour, top, address))
        ),
        format_html_join("", '<text x="{}" y="{}">{}</text>', _labels(hours)),
    )


def draw_segments(counts: Mapping[str, int]) -> SafeString:
    """Return the tasks of a run as one bar, divided by status: what has ended at its beginning."""
    present = [status for status in SEGMENTS if counts.get(status)]
    whole, start, parts = max(1, sum(counts.values())), 0.0, []
    divided = SEGMENTS_WIDTH - LEAST_SEGMENT * len(present)
    for status in present:
        width = LEAST_SEGMENT + divided * counts[status] / whole
        text = formatting.count_of(status.label, counts[status])
        parts.append((status.value, round(start, 1), round(width, 1), text))
        start += width
    return format_html(
        '<svg class="director-segments" viewBox="0 0 {} 10" preserveAspectRatio="none" '
        'role="img" aria-label="{}">{}</svg>',
        SEGMENTS_WIDTH,
        ", ".join(text for *_, text in parts),
        format_html_join(
            "",
            '<rect class="director-{}" x="{}" width="{}" y="0" height="10"><title>{}</title></rect>',
            parts,
        ),
    )


def _bar(number: int, hour: Hour, top: int, address: Callable[..., str]) -> Iterator[SafeString]:
    base = float(HEIGHT)
    for status in STACKED:
        count = hour.counts[status]
        if not count:
            continue
        height = max(LEAST, (HEIGHT - LEAST * len(STACKED)) * count / top)
        base -= height
        yield format_html(
            '<a href="{}" aria-label="{}"><title>{}</title>'
            '<rect class="director-{}" x="{}" y="{}" width="{}" height="{}"/></a>',
            address(status__exact=status.value, ended=hour.start.strftime("%Y-%m-%dT%H")),
            title := _title(hour, status, count),
            title,
            status.value,
            number * WIDTH,
            round(base, 1),
            WIDTH - GAP,
            round(height, 1),
        )


def _title(hour: Hour, status: RunStatus, count: int) -> str:
    start, end = timezone.localtime(hour.start), timezone.localtime(hour.end)
    said = formatting.count_of(status.label, count)
    return f"{start:%Y-%m-%d %H:%M} - {end:%H:%M} {formatting.zone()}: {said}"


def _labels(hours: Sequence[Hour]) -> Iterator[tuple[int, int, str]]:
    for number, hour in enumerate(hours):
        local = timezone.localtime(hour.start)
        if local.hour % EVERY == 0:
            yield number * WIDTH, HEIGHT + AXIS - 3, f"{local:%H:%M}"
