"""Draws the last runs of a workflow as a row of bars, as high as the runs took long, each with its status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from django_director.drawing.icons import icon
from django_director.models import Run

from . import formatting

WIDTH: Final = 12
HEIGHT: Final = 22
"""The height of the longest run; all these are pixels."""
LEAST: Final = 2
_SAMPLE: Final = UUID(int=0)


def draw(runs: Sequence[Run], site: str) -> SafeString:
    """Return ``runs``, the oldest first, each a link; screen readers read status and duration out."""
    # A list has hundreds of these: their addresses are made from one of them.
    before, after = formatting.address("run_change", _SAMPLE, site=site).split(str(_SAMPLE))
    longest = max((run.duration or 0.0 for run in runs), default=0.0) or 1.0
    return format_html(
        '<span class="director-strip">{}</span>',
        format_html_join("", "{}", ((_run(run, longest, f"{before}{run.pk}{after}"),) for run in runs)),
    )


def _run(run: Run, longest: float, address: str) -> SafeString:
    height = max(LEAST, round(HEIGHT * (run.duration or 0.0) / longest, 1))
    label = f"{formatting.status_label(run.shown_status)}, {formatting.elapsed(run)}"
    return format_html(
        '<a class="director-{status}" href="{address}" title="{label}, {created}">'
        '<svg class="director-taken" width="{width}" height="{whole}" aria-hidden="true" focusable="false">'
        '<rect x="1" y="{top}" width="{inner}" height="{height}"/></svg>{icon}'
        '<span class="director-hidden">{label}</span></a>',
        status=run.shown_status,
        address=address,
        label=label,
        created=formatting.moment(run.created_at),
        width=WIDTH,
        whole=HEIGHT,
        inner=WIDTH - 2,
        top=round(HEIGHT - height, 1),
        height=height,
        icon=icon(run.shown_status),
    )
