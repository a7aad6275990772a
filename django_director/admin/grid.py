"""The last runs of a workflow as a grid in SVG: which step failed in which run, and how long each run took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_director.drawing.icons import PATHS, SIDE
from django_director.drawing.picture import shorten
from django_director.graph import Graph
from django_director.models import Run, Task

from . import formatting

RUNS: Final = 25
STEPS: Final = 40
"""How many steps the grid shows, the first of the file."""
LABELS: Final = 200
CELL: Final = 18
GAP: Final = 3
INSET: Final = 2
TOP: Final = 48
"""All these are pixels; the last is the height of the bars above the grid."""


def draw(graph: Graph, runs: Sequence[Run], site: str) -> SafeString:
    """Return the grid of ``runs``, which come the newest first. It takes one query."""
    shown, steps = list(reversed(runs[:RUNS])), [node.step.id for node in graph.nodes[:STEPS]]
    if not shown:
        return SafeString("")
    statuses = _read(shown, steps)
    width, height = LABELS + CELL * len(shown), TOP + 6 + CELL * len(steps)
    return format_html(
        '<svg class="director-grid" role="group" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">'
        "{}{}{}</svg>",
        _("The steps of the last %(n)s runs, the newest at the right") % {"n": len(shown)},
        width,
        height,
        width,
        height,
        format_html_join(
            "",
            '<text x="0" y="{}">{}</text>',
            ((TOP + 6 + CELL * number + 12, shorten(step, 28)) for number, step in enumerate(steps)),
        ),
        format_html_join("", "{}", ((bar,) for bar in _bars(shown, site))),
        format_html_join("", "{}", ((cell,) for cell in _cells(shown, steps, statuses, site))),
    )


def _read(runs: Sequence[Run], steps: Sequence[str]) -> dict[tuple[UUID, str], tuple[UUID, str]]:
    """Return the id and status of the task of each step in each run. It takes one query."""
    tasks = Task.objects.nodes().filter(run__in=[run.pk for run in runs], step__in=steps).order_by()
    rows = tasks.values_list("run", "step", "pk", "status")
    return {(run, step): (pk, status) for run, step, pk, status in rows}


def _bars(runs: Sequence[Run], site: str) -> Iterator[SafeString]:
    longest = max((run.duration or 0.0 for run in runs), default=0.0) or 1.0
    for number, run in enumerate(runs):
        height = max(3.0, round((TOP - 4) * (run.duration or 0.0) / longest, 1))
        status, started = formatting.status_label(run.shown_status), formatting.moment(run.started_at)
        title = f"{status}, {started}, {formatting.elapsed(run)}"
        yield format_html(
            '<a href="{}" aria-label="{}"><title>{}</title>'
            '<rect class="director-{}" x="{}" y="{}" width="{}" height="{}"/></a>',
            formatting.address("run_change", run.pk, site=site),
            title,
            title,
            run.shown_status,
            LABELS + CELL * number,
            round(TOP - height, 1),
            CELL - GAP,
            height,
        )


def _cells(
    runs: Sequence[Run], steps: Sequence[str], found: dict[tuple[UUID, str], tuple[UUID, str]], site: str
) -> Iterator[SafeString]:
    inside = CELL - GAP - 2 * INSET
    place: dict[str, Any] = {"width": CELL - GAP, "height": CELL - GAP, "scale": round(inside / SIDE, 3)}
    for column, run in enumerate(runs):
        for row, step in enumerate(steps):
            if (run.pk, step) not in found:
                continue
            pk, status = found[run.pk, step]
            title = f"{shorten(step, 60)}: {formatting.status_label(status)}, {formatting.moment(run.started_at)}"
            yield format_html(
                '<a href="{address}" aria-label="{title}"><title>{title}</title>'
                '<rect class="director-{status}" x="{x}" y="{y}" width="{width}" height="{height}" rx="3"/>'
                '<path transform="translate({icon_x} {icon_y}) scale({scale})" d="{icon}"/></a>',
                address=formatting.address("task_change", pk, site=site),
                title=title,
                status=status,
                x=LABELS + CELL * column,
                y=TOP + 6 + CELL * row,
                icon_x=LABELS + CELL * column + INSET,
                icon_y=TOP + 6 + CELL * row + INSET,
                icon=PATHS.get(status, ""),
                **place,
            )
