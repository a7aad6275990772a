"""What the boxes of a picture show for one run: a status, a short note, and a title with all counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_director.common.languages import count_of, number
from django_director.status import TASK_DONE, TASK_FINISHED, TaskStatus

from .parts import Part
from .picture import Picture, shorten

TITLE_LENGTH: Final = 200
NO_STATUS: Final = "none"
BY_CONCERN: Final = (
    TaskStatus.FAILED,
    TaskStatus.UPSTREAM_FAILED,
    TaskStatus.CANCELED,
    TaskStatus.RUNNING,
    TaskStatus.WAITING,
    TaskStatus.QUEUED,
    TaskStatus.PENDING,
    TaskStatus.SUCCESS,
    TaskStatus.SKIPPED,
)
"""The statuses in order of importance: of several tasks in a box, the most important status gives the colour."""
KINDS: Final = {
    "map": gettext_lazy("map"),
    "workflow": gettext_lazy("child run"),
    "approval": gettext_lazy("approval"),
    "wait": gettext_lazy("wait"),
    "condition": gettext_lazy("condition"),
}
"""How the title of a box names the kind of a step that is more than a task."""
OF_INTEREST: Final = (TaskStatus.FAILED, TaskStatus.RUNNING, TaskStatus.WAITING, TaskStatus.QUEUED)
"""What people look for first in the picture of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What a box shows for one run."""

    status: str
    note: str
    title: str


def faces(picture: Picture, rows: Iterable[tuple[int, str, int]]) -> list[Face]:
    """Return the face of each box, from the position, status and attempt of each task of a run."""
    counts: list[Counter[str]] = [Counter() for _box in picture.boxes]
    items: list[Counter[str]] = [Counter() for _box in picture.boxes]
    attempts = [0] * len(picture.boxes)
    inside = {position for part in picture.boxes for position in part.items}
    box_of = picture.box_of
    for position, status, attempt in rows:
        box = box_of.get(position)
        if box is not None:
            (items if position in inside else counts)[box][status] += 1
            attempts[box] = max(attempts[box], attempt)
    return [_face(*each) for each in zip(picture.boxes, counts, items, attempts, strict=True)]


def status_of_map(own: str, items: Mapping[str, int]) -> str:
    """Return the status of a map for people: the most important one of its items, and its own once it has ended.

    ``items`` is how many of its tasks for items have which status. One that failed may have been forgiven.
    """
    if own in TASK_FINISHED:
        return own
    return next((status.value for status in BY_CONCERN if items.get(status)), own)


def of_interest(rows: Iterable[tuple[int, str, int]]) -> int | None:
    """Return the position of the first task that failed, or else runs or waits; ``None`` if there is none."""
    first: dict[str, int] = {}
    for position, status, _attempt in rows:
        first[status] = min(position, first.get(status, position))
    return next((first[status] for status in OF_INTEREST if status in first), None)


def _face(part: Part, own: Counter[str], items: Counter[str], attempt: int) -> Face:
    is_map = bool(items) and not part.is_frame
    # A map itself does not count beside its items.
    counts = items if is_map else own + items
    present = [status for status in BY_CONCERN if counts[status]]
    if not present:
        return _make_face(part, NO_STATUS, _size(part))
    status = status_of_map(next(iter(own), ""), items) if is_map else present[0].value
    if part.is_frame or sum(counts.values()) > 1:
        details = " · ".join(count_of(each.label, counts[each]) for each in present)
        return _make_face(part, status, _progress(counts), details)
    note = str(TaskStatus(status).label)
    if attempt > 1:
        note = _("%(status)s · attempt %(attempt)s") % {"status": note, "attempt": attempt}
    return _make_face(part, status, note)


def _make_face(part: Part, status: str, note: str, details: str = "") -> Face:
    """Return the face of a box. Its title begins with what is seen: so people can choose the box by saying it."""
    label = shorten(part.label, TITLE_LENGTH)
    title = f"{label}: {note}" if note else label
    if part.kind in KINDS:
        title = _("%(name)s (%(kind)s)") % {"name": title, "kind": KINDS[part.kind]}
    return Face(status=status, note=note, title=f"{title} · {details}" if details else title)


def _progress(counts: Counter[str]) -> str:
    """Return how many of several tasks are done, and how many of them failed: ``37/50, 2 failed``."""
    done = sum(number for status, number in counts.items() if status in TASK_DONE)
    total, failed = sum(counts.values()), counts[TaskStatus.FAILED]
    text = f"{number(done)}/{number(total)}"
    if not failed:
        return text
    return ngettext("%(progress)s, %(n)s failed", "%(progress)s, %(n)s failed", failed) % {
        "progress": text,
        "n": number(failed),
    }


def _size(part: Part) -> str:
    if not part.is_frame:
        return ""
    size = len(part.positions)
    return ngettext("%(n)s task", "%(n)s tasks", size) % {"n": number(size)}
