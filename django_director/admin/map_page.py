"""The page of a map: a strip of its items, why some failed, and a list of them with a filter, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.common import ids
from django_director.drawing.faces import BY_CONCERN
from django_director.drawing.icons import PATHS, icon
from django_director.models import Task
from django_director.presentation.map_items import SAMPLE, Cell, Failures, MapItems, Place
from django_director.status import TaskStatus

from . import formatting, task_lines

COLUMNS: Final = 50
"""How many cells stand in a row."""
SIDE: Final = 14
GAP: Final = 2
"""The width of a cell with the gap beside it, and the gap; in pixels."""
GROUPS: Final = 10
LINKED: Final = 5
"""How many items of each group of failures are linked."""
SIGN: Final = '<use href="#director-sign-{status}" transform="translate({x} {y}) scale(.625)"/>'
PLAIN: Final = (TaskStatus.SUCCESS, TaskStatus.PENDING)
"""The statuses without a sign in the cells: the one is filled, the other empty."""
QUIET: Final = (*PLAIN, TaskStatus.SKIPPED)


def context(task: Task, items: MapItems, asked: QueryDict, site: str, *, sees_payload: bool) -> dict[str, Any]:
    """Return what the template shows of a map's items. It takes two queries."""
    status = asked.get("status", "")
    status = status if status in TaskStatus.values else ""
    rows, behind = items.page(status, place := Place.parse(asked.get("from", "")))
    groups = items.failures(sees_payload=sees_payload)
    return {
        "tally": items.tally,
        "strip": draw_strip(task, items, site),
        "groups": [_group(group) for group in groups[:GROUPS]],
        "sampled": SAMPLE if sum(len(group.tasks) for group in groups) >= SAMPLE else 0,
        "filters": list(_filters(items)),
        "status": status,
        "rows": [(_with_run(row, task), task_lines.badge(row), _why(row, sees_payload)) for row in rows],
        "has_first": place > (0, 0),
        "first": _query(status),
        "next": None if behind is None else _query(status, behind),
    }


def draw_strip(task: Task, items: MapItems, site: str) -> SafeString:
    """Return the items as cells in their order: each is a link to its task, or to some in the list."""
    rows = -(-len(items.cells) // COLUMNS)
    width, height = SIDE * min(COLUMNS, len(items.cells)), SIDE * rows
    return format_html(
        '<svg class="director-cells" role="group" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">'
        "<defs>{}</defs>{}</svg>",
        _("Items from the first to the last: %(progress)s") % {"progress": items.tally.text},
        width,
        height,
        width,
        height,
        format_html_join("", '<path id="director-sign-{}" d="{}"/>', _signs(items)),
        SafeString("".join(_cells(items, _linker(task, site)))),
    )


def _signs(items: MapItems) -> Iterator[tuple[str, str]]:
    counts = items.counts
    return ((status, PATHS[status]) for status in TaskStatus.values if counts[status] and status not in PLAIN)


def _linker(task: Task, site: str) -> Callable[[Cell, str], str]:
    def link(cell: Cell, status: str) -> str:
        if cell.size > 1 or status not in cell.positions:
            return f"?{urlencode({'from': Place(cell.first, 0)})}#items"
        pk = ids.item_id(task.run_id, cell.positions[status], cell.first)
        return formatting.address("task_change", pk, site=site)

    return link


def _cells(items: MapItems, link: Callable[[Cell, str], str]) -> Iterator[SafeString]:
    for number, cell in enumerate(items.cells):
        status = next((each.value for each in BY_CONCERN if cell.statuses[each]), TaskStatus.PENDING.value)
        x, y = SIDE * (number % COLUMNS), SIDE * (number // COLUMNS)
        sign = "" if status in PLAIN else SafeString(SIGN.format(status=status, x=x + 1, y=y + 1))
        yield format_html(
            '<a href="{href}" aria-label="{title}" class="director-{status}"{focus}><title>{title}</title>'
            '<rect x="{x}" y="{y}" width="{side}" height="{side}" rx="2"/>{sign}</a>',
            href=link(cell, status),
            title=_title(cell, items.steps),
            status=status,
            x=x,
            y=y,
            side=SIDE - GAP,
            sign=sign,
            # With the keyboard one goes from failure to failure; the list below has the others.
            focus=SafeString(' tabindex="-1"') if status in QUIET else "",
        )


def _title(cell: Cell, steps: int) -> str:
    counts = [(each, cell.statuses[each]) for each in BY_CONCERN if cell.statuses[each]]
    if cell.size == steps == 1:
        return _("item %(index)s: %(status)s") % {
            "index": formatting.number(cell.first),
            "status": formatting.status_label(counts[0][0] if counts else TaskStatus.PENDING),
        }
    said = ", ".join(formatting.count_of(formatting.status_label(status), number) for status, number in counts)
    text = _("item %(first)s: %(statuses)s") if cell.size == 1 else _("items %(first)s to %(last)s: %(statuses)s")
    return text % {
        "first": formatting.number(cell.first),
        "last": formatting.number(cell.first + cell.size - 1),
        "statuses": said,
    }


def _filters(items: MapItems) -> Iterator[tuple[str, str, SafeString, str]]:
    counts = items.counts
    for status in BY_CONCERN:
        if counts[status]:
            yield status.value, formatting.status_label(status), icon(status), formatting.number(counts[status])


def _group(group: Failures) -> dict[str, Any]:
    number = len(group.tasks)
    more = number - LINKED
    return {
        "error": formatting.error_line(group.error),
        "number": formatting.number(number),
        "tasks": group.tasks[:LINKED],
        "more": ngettext("and %(n)s more", "and %(n)s more", more) % {"n": formatting.number(more)}
        if more > 0
        else "",
    }


def _with_run(row: Task, around: Task) -> Task:
    row.run = around.run
    return row


def _why(row: Task, sees_payload: bool) -> tuple[str, str]:
    return task_lines.explain_status(row, sees_payload=sees_payload), formatting.elapsed(row)


def _query(status: str, place: Place | None = None) -> str:
    given = {"status": status, "from": str(place) if place is not None else ""}
    return f"?{urlencode({name: value for name, value in given.items() if value})}#items"
