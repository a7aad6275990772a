"""Writes a picture as SVG. The colours stand in the style sheet, under the class of each status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .blocks import arrow_of, n, path_of
from .faces import NO_STATUS, Face
from .icons import KINDS, PATHS
from .layout import TITLE, Framed, Sheet
from .parts import Part
from .picture import CHARACTER, LABEL_LENGTH, Picture, shorten

Link = Callable[[Part], str | None]

HOOKS: Final = {
    "success": gettext_lazy("Hooks on success"),
    "failure": gettext_lazy("Hooks on failure"),
    "canceled": gettext_lazy("Hooks on cancel"),
    "always": gettext_lazy("Hooks, always"),
}
"""The names of the frames of hooks, by outcome."""
_BOX: Final = (
    '<g class="director-box director-{status}" data-box="{number}" transform="translate({x} {y})">'
    "{title}{sheet}"
    '<rect width="{width}" height="{height}" rx="6"/>'
    '<path class="director-mark" transform="translate(8 14)" d="{icon}"/>'
    '<text class="director-label" x="{text_x}" y="{label_y}">{label}</text> '
    '<text class="director-note" x="{text_x}" y="35">{note}</text>{kind}'
    "</g>"
)
_FRAME: Final = (
    '<g class="director-frame director-frame-{kind}"><title>{title}</title>'
    '<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>{mark}'
    '<text x="{text_x}" y="{text_y}">{label}</text></g>'
)


def render(
    picture: Picture,
    faces: Sequence[Face],
    *,
    title: str,
    summary: str,
    link: Link,
    fold: Link = lambda frame: None,
) -> SafeString:
    """Return the two drawings of a run, or of a definition if the faces have no status.

    The style sheet shows the one that fits the screen. ``title`` and ``summary`` are for screen readers. ``link``
    returns the address of a box, or ``None``; ``fold`` that of an open frame.
    """
    words = (title, summary)
    sheets = (("wide", picture.wide), ("narrow", picture.narrow))
    return format_html_join(
        "", "{}", ((_Drawing(picture, faces, sheet, link, fold).svg(name, *words),) for name, sheet in sheets)
    )


def render_alone(picture: Picture, faces: Sequence[Face], *, title: str, summary: str, style: str) -> SafeString:
    """Return the wide drawing without links, for a file of its own with the style sheet ``style`` in it."""
    drawing = _Drawing(picture, faces, picture.wide, lambda part: None, lambda part: None)
    return drawing.svg("wide", title, summary, format_html("<style>{}</style>", SafeString(style)))


class _Drawing:
    """One drawing of a picture."""

    def __init__(self, picture: Picture, faces: Sequence[Face], sheet: Sheet, link: Link, fold: Link) -> None:
        self.picture = picture
        self.faces = faces
        self.sheet = sheet
        self.link = link
        self.fold = fold

    def svg(self, name: str, title: str, summary: str, style: SafeString | str = "") -> SafeString:
        """Return the drawing with the frames behind, then the lines, then the boxes."""
        sheet = self.sheet
        return format_html(
            '<svg class="director-graph director-{8}" role="group" '
            'aria-labelledby="director-{8}-title director-{8}-summary" '
            'width="{0}" height="{1}" viewBox="0 0 {0} {1}" xmlns="http://www.w3.org/2000/svg">{9}'
            '<title id="director-{8}-title">{2}</title><desc id="director-{8}-summary">{3}</desc>{6}'
            '<path class="director-lines" d="{4}"/><path class="director-lines director-across" d="{10}"/>'
            '<path class="director-arrows" d="{5}"/>{7}{11}</svg>',
            round(sheet.size[0]),
            round(sheet.size[1]),
            title,
            summary,
            "".join(path_of(line) for line in sheet.lines),
            "".join(arrow_of(line) for line in (*sheet.lines, *sheet.across) if line.has_arrow),
            format_html_join("", "{}", ((self._frame(frame),) for frame in sheet.frames)),
            format_html_join(
                "", '<circle class="director-dot" cx="{}" cy="{}" r="4"/>', ((n(x), n(y)) for x, y in sheet.dots)
            ),
            name,
            style,
            "".join(path_of(line) for line in sheet.across),
            format_html_join("", "{}", ((self._linked_box(number),) for number in range(len(self.faces)))),
        )

    def _linked_box(self, number: int) -> SafeString:
        part, face = self.picture.boxes[number], self.faces[number]
        address = self.link(part)
        # Phones have no pointer that rests on a box: there the name of the link is enough.
        box = self._box(number, part, face, has_title=address is None or self.sheet is self.picture.wide)
        if address is None:
            return box
        title = _("%(name)s, unfold") % {"name": face.title} if part.is_frame else face.title
        return format_html('<a href="{}" aria-label="{}">{}</a>', address, title, box)

    def _box(self, number: int, part: Part, face: Face, *, has_title: bool) -> SafeString:
        x, y = self.sheet.boxes[number]
        width, height = self.sheet.box
        mark = "folded" if part.is_frame else part.kind
        return format_html(
            _BOX,
            status=face.status,
            number=number,
            x=n(x),
            y=n(y),
            title=format_html("<title>{}</title>", face.title) if has_title else "",
            sheet=_sheet(width, height) if part.is_frame or part.items else "",
            width=n(width),
            height=n(height),
            icon=PATHS.get(face.status, PATHS["none"]),
            text_x=12 if face.status == NO_STATUS else 30,
            label_y=19 if face.note else 26,
            label=shorten(part.label, self._room(face)),
            note=self.picture.fitted(face.note),
            kind=_kind(mark, width - 20, 6) if mark in KINDS else "",
        )

    def _room(self, face: Face) -> int:
        """Return how many characters of a label fit into a box."""
        left = 36 if face.status == NO_STATUS else 54
        return min(LABEL_LENGTH, int((self.sheet.box[0] - left) / CHARACTER))

    def _frame(self, frame: Framed) -> SafeString:
        (x, y), (width, height) = frame.corner, frame.size
        if frame.part is None:
            return format_html(
                '<g class="director-frame director-frame-none">'
                '<rect x="{}" y="{}" width="{}" height="{}" rx="8"/></g>',
                *(n(value) for value in (x, y, width, height)),
            )
        address = self.fold(frame.part)
        title = str(HOOKS[frame.part.label]) if frame.part.kind == "hooks" else frame.part.label
        content = format_html(
            _FRAME,
            kind=frame.part.kind,
            title=shorten(title, 200),
            x=n(x),
            y=n(y),
            width=n(width),
            height=n(height),
            mark=_kind("open", x + 10, y + 7) if address else "",
            text_x=n(x + (30 if address else 12)),
            text_y=n(y + TITLE - 4),
            label=shorten(title, int((width - 42) / CHARACTER)),
        )
        if address is None:
            return content
        name = _("Fold %(name)s") % {"name": shorten(title, 200)}
        return format_html('<a href="{}" aria-label="{}">{}</a>', address, name, content)


def _kind(mark: str, x: float, y: float) -> SafeString:
    return format_html(
        '<path class="director-kind" transform="translate({} {}) scale(.8)" d="{}"/>', n(x), n(y), KINDS[mark]
    )


def _sheet(width: float, height: float) -> SafeString:
    """Return a second sheet behind a box, which shows that it stands for several tasks."""
    return format_html(
        '<rect class="director-sheet" x="4" y="4" width="{}" height="{}" rx="6"/>', n(width), n(height)
    )
