"""Writes a picture as SVG. The colours stand in the style sheet, under the class of each status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from .icons import PATHS
from .picture import BOX_HEIGHT, LABEL_LENGTH, NO_STATUS, Box, Face, Picture, shorten

_BOX: Final = (
    '<g class="director-box director-{status}{folded}" data-box="{number}">'
    "<title>{title}</title>{shadow}"
    '<rect x="{x}" y="{top}" width="{width}" height="{height}" rx="6"/>'
    '<path class="director-mark" transform="translate({icon_x} {icon_y})" d="{icon}"/>'
    '<text class="director-label" x="{text_x}" y="{label_y}">{label}</text> '
    '<text class="director-note" x="{text_x}" y="{note_y}">{note}</text>'
    "</g>"
)


def render(
    picture: Picture, faces: Sequence[Face], *, title: str, summary: str, link: Callable[[Box], str | None]
) -> SafeString:
    """Return the SVG of a run, or of a definition if the faces have no status.

    ``title`` and ``summary`` are for screen readers. ``link`` returns the address of a box, or ``None``.
    """
    return format_html(
        '<svg class="director-graph" role="group" aria-labelledby="director-graph-title director-graph-summary" '
        'width="{0}" height="{1}" viewBox="0 0 {0} {1}" xmlns="http://www.w3.org/2000/svg">'
        '<title id="director-graph-title">{2}</title><desc id="director-graph-summary">{3}</desc>'
        '<path class="director-lines" d="{4}"/><path class="director-arrows" d="{5}"/>{6}{7}</svg>',
        round(picture.width),
        round(picture.height),
        title,
        summary,
        picture.lines,
        picture.arrows,
        format_html_join(
            "", '<circle class="director-dot" cx="{}" cy="{}" r="4"/>', ((dot.x, dot.y) for dot in picture.dots)
        ),
        format_html_join(
            "",
            "{}",
            (
                (_linked(_box(picture, box, face, number), link(box), face.title),)
                for number, (box, face) in enumerate(zip(picture.boxes, faces, strict=True))
            ),
        ),
    )


def _linked(content: SafeString, address: str | None, title: str) -> SafeString:
    if address is None:
        return content
    return format_html('<a href="{}" aria-label="{}">{}</a>', address, title, content)


def _box(picture: Picture, box: Box, face: Face, number: int) -> SafeString:
    top = box.y - BOX_HEIGHT / 2
    size = {"width": picture.box_width, "height": BOX_HEIGHT}
    return format_html(
        _BOX,
        status=face.status,
        folded=" director-folded" if box.unit.is_folded else "",
        shadow=_shadow(box, top, picture.box_width) if box.unit.is_folded or box.unit.items else "",
        number=number,
        x=box.x,
        top=top,
        icon_x=box.x + 8,
        icon_y=box.y - 8,
        icon=PATHS.get(face.status, PATHS["none"]),
        text_x=box.x + (12 if face.status == NO_STATUS else 30),
        label_y=box.y - 3 if face.note else box.y + 4,
        label=shorten(box.unit.label, LABEL_LENGTH),
        note_y=box.y + 13,
        note=picture.fitted(face.note),
        title=face.title,
        **size,
    )


def _shadow(box: Box, top: float, width: float) -> SafeString:
    """Return a second sheet behind a box, which shows that it stands for several tasks."""
    return format_html(
        '<rect class="director-sheet" x="{}" y="{}" width="{}" height="{}" rx="6"/>',
        box.x + 4,
        top + 4,
        width,
        BOX_HEIGHT,
    )
