"""The timeline of a run: when each task was queued, ran and was tried again, drawn as bars in SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final
from uuid import UUID

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_director.drawing.picture import shorten
from django_director.graph import Graph
from django_director.models import Attempt, Run, Task
from django_director.schedules.timings import aware
from django_director.status import TaskStatus

from . import formatting

ROWS: Final = 500
"""How many tasks a timeline shows: those that matter most, and of the others those that began first."""
CALM: Final = frozenset({TaskStatus.SUCCESS, TaskStatus.SKIPPED})
ATTEMPTS: Final = 2_000
LABELS: Final = 23.0
BARS: Final = 75.0
LEAST: Final = 0.2
"""The width of the names, of the scale, and the least width of a bar: hundredths of that of the drawing."""
ROW: Final = 22
BAR: Final = 12
HEAD: Final = 22
"""The heights of a row, of its bar and of the scale: pixels."""
TICKS: Final = 6
STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)
"""Seconds that may lie between two lines of the scale; for longer runs, whole days."""


@dataclass(slots=True)
class Bar:
    """A task in the timeline."""

    task: Task
    tries: list[tuple[datetime, datetime, str]] = field(default_factory=list)
    """The earlier attempts: start, end and outcome."""
    is_critical: bool = False
    """Whether the run would have ended earlier if the task had been quicker."""

    @property
    def first(self) -> datetime:
        known = [aware(self.task.queued_at), aware(self.task.started_at), *(begun for begun, _, _ in self.tries)]
        return min(moment for moment in known if moment is not None)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Turns moments into places on the drawing, in hundredths of its width: so it is as wide as its page."""

    start: datetime
    seconds: float

    def place(self, moment: datetime) -> float:
        share = (moment - self.start).total_seconds() / self.seconds
        return round(LABELS + BARS * min(1.0, max(0.0, share)), 2)

    def ticks(self) -> Iterator[float]:
        """Yield the seconds after the start at which the scale has a line."""
        step = next((each for each in STEPS if self.seconds / each <= TICKS), None)
        if step is None:
            step = 86_400 * (int(self.seconds / 86_400 / TICKS) + 1)
        elapsed = 0
        while elapsed <= self.seconds:
            yield elapsed
            elapsed += step


def context(run: Run, address: Callable[[UUID], str]) -> dict[str, Any]:
    """Return what the template needs. It takes at most three queries; ``address`` gives that of a task's page."""
    bars, is_cut = read_bars(run)
    now = datetime.now(UTC)
    return {
        "timeline": draw(bars, now, address) if bars else "",
        "is_cut": is_cut,
        "limit": ROWS,
    }


def read_bars(run: Run) -> tuple[list[Bar], bool]:
    """Read the tasks that were ever queued or started, by their beginning, and whether some are left out.

    None that failed, runs or waits is left out as long as there are fewer than ``ROWS`` of these.
    """
    columns = (
        "run_id",
        "step",
        "position",
        "map_index",
        "is_hook",
        "status",
        "queued_at",
        "started_at",
        "finished_at",
    )
    begun = run.tasks.exclude(queued_at=None, started_at=None).order_by("queued_at", "started_at", "position")
    tasks = list(begun.only(*columns)[: ROWS + 1])
    is_cut = len(tasks) > ROWS
    if is_cut:
        chosen = {task.pk: task for task in begun.exclude(status__in=CALM).only(*columns)[:ROWS]}
        others = (task for task in tasks if task.pk not in chosen)
        tasks = [*chosen.values(), *islice(others, ROWS - len(chosen))]
    bars = {task.pk: Bar(task) for task in tasks}
    attempts = Attempt.objects.filter(task__run=run.pk, started_at__isnull=False).order_by("pk")
    for task, started, finished, outcome in attempts.values_list("task", "started_at", "finished_at", "outcome")[
        :ATTEMPTS
    ]:
        begun_at, ended_at = aware(started), aware(finished)
        if task in bars and begun_at and ended_at:
            bars[task].tries.append((begun_at, ended_at, outcome))
    _mark_critical(run.version.graph, list(bars.values()))
    return sorted(bars.values(), key=lambda bar: bar.first), is_cut


def _mark_critical(graph: Graph, bars: Sequence[Bar]) -> None:
    """Mark the tasks that each follow from the one before that ended last, back from the task that ended last."""
    ended = {
        bar.task.position: bar
        for bar in bars
        if bar.task.finished_at and bar.task.map_index < 0 and not bar.task.is_hook
    }
    current = max(ended.values(), key=_end, default=None)
    while current is not None and not current.is_critical:
        current.is_critical = True
        before = [ended[position] for position in graph.node(current.task.position).upstream if position in ended]
        current = max(before, key=_end, default=None)


def _end(bar: Bar) -> datetime:
    ended = bar.task.finished_at
    assert ended is not None
    return ended


def draw(bars: Sequence[Bar], now: datetime, address: Callable[[UUID], str]) -> SafeString:
    """Return the drawing. Each task is a link to its page."""
    start = min(bar.first for bar in bars)
    ends = [aware(bar.task.finished_at) or now for bar in bars]
    scale = Scale(start=start, seconds=max(0.001, (max(ends) - start).total_seconds()))
    height = HEAD + ROW * len(bars)
    return format_html(
        '<svg class="director-timeline" role="group" aria-label="{}" width="100%" height="{}">'
        "<defs>{}</defs>{}{}</svg>",
        _("When each task was queued and ran"),
        height,
        format_html(
            '<pattern id="{}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            '<rect class="director-hatch" width="3" height="6"/></pattern>',
            "director-hatched",
        ),
        format_html_join(
            "",
            '<line class="director-axis" x1="{0}%" x2="{0}%" y1="{1}" y2="{2}"/>'
            '<text class="director-tick" x="{0}%" y="12">{3}</text>',
            (
                (
                    round(LABELS + BARS * tick / scale.seconds, 2),
                    HEAD - 4,
                    height,
                    f"+{formatting.seconds(tick)}" if tick else "0",
                )
                for tick in scale.ticks()
            ),
        ),
        format_html_join("", "{}", ((_row(number, bar, scale, now, address),) for number, bar in enumerate(bars))),
    )


def _row(number: int, bar: Bar, scale: Scale, now: datetime, address: Callable[[UUID], str]) -> SafeString:
    task, top = bar.task, HEAD + ROW * number + (ROW - BAR) / 2
    title = _title(bar, now)
    return format_html(
        '<a href="{}" aria-label="{}"><title>{}</title><text class="director-row{}" x="0" y="{}">{}</text>{}</a>',
        address(task.pk),
        title,
        title,
        " director-critical" if bar.is_critical else "",
        top + BAR - 2,
        shorten(task.label, 30),
        format_html_join(
            "",
            '<rect class="{}" x="{}%" y="{}" width="{}%" height="{}" rx="2"/>',
            (
                (kind, scale.place(begun), top, max(LEAST, round(scale.place(ended) - scale.place(begun), 2)), BAR)
                for kind, begun, ended in _parts(bar, now)
            ),
        ),
    )


def _parts(bar: Bar, now: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    """Yield the parts of a bar: their classes, starts and ends."""
    for begun, ended, outcome in bar.tries:
        yield f"director-{outcome} director-try", begun, ended
    task = bar.task
    queued, started, finished = aware(task.queued_at), aware(task.started_at), aware(task.finished_at)
    if queued is not None and (started is None or queued < started):
        yield "director-queued director-wait", queued, started or finished or now
    if started is not None:
        yield f"director-{task.status}", started, finished or now


def _title(bar: Bar, now: datetime) -> str:
    task = bar.task
    parts = [formatting.name(task.label), formatting.status_label(task.status)]
    queued, started, finished = aware(task.queued_at), aware(task.started_at), aware(task.finished_at)
    if queued is not None and started is not None and queued < started:
        parts.append(_("waited %(time)s") % {"time": formatting.seconds((started - queued).total_seconds())})
    if started is not None and task.status != TaskStatus.QUEUED:
        parts.append(
            _("took %(time)s") % {"time": formatting.seconds(((finished or now) - started).total_seconds())}
        )
    if bar.tries:
        parts.append(_("tried %(n)s times before") % {"n": len(bar.tries)})
    if bar.is_critical:
        parts.append(_("on the critical path"))
    return ", ".join(parts)
