"""Draw the rooms of the package, and say what each owns, from the code: ``make architecture``.

    python3 -m scripts.draw_rooms [--check]

It writes ``rooms.svg`` and the tables of ``architecture.md``, both in ``docs/explanation/``. With ``--check`` it
writes nothing, and fails when these files are not what the code says. It needs nothing but Python.
"""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Final

from scripts.package_imports import (
    FACE,
    NAME,
    NOT_ROOMS,
    PACKAGE,
    ROOT,
    Arrows,
    arrows_between_rooms,
    modules,
)

PAGE: Final = ROOT / "docs" / "explanation" / "architecture.md"
PICTURE: Final = PAGE.with_name("rooms.svg")
FIRST: Final = "<!-- Written by `make architecture` from the code; do not edit by hand. -->"
LAST: Final = "<!-- The end of what `make architecture` writes. -->"
COMMAND: Final = "make architecture"

BOX_HEIGHT: Final = 32
GAP: Final = 14
FLOOR_HEIGHT: Final = 66
MARGIN: Final = 20
CHARACTER: Final = 8.0
SWEEPS: Final = 24
STYLE: Final = (
    "text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#1c2733;text-anchor:middle}"
    ".paper{fill:#fff}.box{fill:#eaf2f8;stroke:#5b7f9c}.arrow{fill:none;stroke:#8a9aa8;stroke-width:1.1}"
    ".circle{fill:none;stroke:#c0392b;stroke-width:2}.head{fill:#8a9aa8}"
)
HEAD: Final = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
)


# The rooms as a graph


def reachable(arrows: Arrows, room: str) -> frozenset[str]:
    """All rooms that a room imports, directly or by way of others."""
    found: set[str] = set()
    waiting = list(arrows[room])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting.extend(arrows[other])
    return frozenset(found)


def circles(arrows: Arrows) -> dict[str, frozenset[str]]:
    """For each room the rooms with which it stands in a circle of imports, itself among them; none otherwise."""
    below = {room: reachable(arrows, room) for room in arrows}
    return {room: frozenset(o for o in below[room] if room in below[o]) for room in arrows}


def needed_arrows(arrows: Arrows) -> dict[str, frozenset[str]]:
    """The arrows that a picture needs: none that other arrows already tell by way of other rooms."""
    below, in_circle = {room: reachable(arrows, room) for room in arrows}, circles(arrows)
    return {
        room: frozenset(
            target
            for target in targets
            if not any(
                target in below[other] and other not in in_circle[room] and other not in in_circle[target]
                for other in targets - {target}
            )
        )
        for room, targets in arrows.items()
    }


def floors(arrows: Arrows) -> dict[str, int]:
    """The floor of each room: one above the highest room that it imports, outside of its own circle."""
    found: dict[str, int] = {}
    in_circle = circles(arrows)

    def floor(room: str) -> int:
        if room not in found:
            together = in_circle[room] or {room}
            others = {target for member in together for target in arrows[member]} - set(together)
            height = max((floor(other) + 1 for other in others), default=0)
            found.update(dict.fromkeys(together, height))
        return found[room]

    for room in arrows:
        floor(room)
    return found


# The picture


class Drawing:
    """Rooms in rows, the lowest floor at the bottom, arrows downwards; long arrows pass between the boxes."""

    def __init__(self, arrows: Arrows) -> None:
        self.floor = floors(arrows)
        self.circles = circles(arrows)
        self.rows: list[list[str]] = [[] for _ in range(max(self.floor.values()) + 1)]
        for room, floor in sorted(self.floor.items()):
            self.rows[floor].append(room)
        pairs = [(room, target) for room, targets in needed_arrows(arrows).items() for target in sorted(targets)]
        self.paths = [self._path(room, target) for room, target in pairs]
        self.near: dict[str, set[str]] = {point: set() for row in self.rows for point in row}
        for path in self.paths:
            for upper, lower in itertools.pairwise(path):
                self.near[upper].add(lower)
                self.near[lower].add(upper)
        self.x: dict[str, float] = {}
        self._place()

    def _path(self, room: str, target: str) -> list[str]:
        """The points of an arrow: one on each floor between its ends, shared by the arrows to one target."""
        path = [room]
        for floor in range(self.floor[room] - 1, self.floor[target], -1):
            point = f"{target} {floor}"
            if point not in self.rows[floor]:
                self.rows[floor].append(point)
            path.append(point)
        return [*path, target]

    def _place(self) -> None:
        for row in self.rows:
            self._spread(row, {point: float(number) for number, point in enumerate(row)})
        for sweep in range(SWEEPS):
            for row in self.rows if sweep % 2 else reversed(self.rows):
                self._spread(row, {point: self._wanted(point) for point in row})
        least = min(self.x[point] - _width(point) / 2 for row in self.rows for point in row)
        self.x = {point: x - least + MARGIN for point, x in self.x.items()}

    def _wanted(self, point: str) -> float:
        near = self.near[point]
        return sum(self.x[other] for other in near) / len(near) if near else self.x[point]

    def _spread(self, row: list[str], wanted: Mapping[str, float]) -> None:
        """Put the points of a row in the order of their wishes, as near to these as the widths allow."""
        row.sort(key=lambda point: (wanted[point], point))
        at, offsets = 0.0, []
        for point in row:
            offsets.append(at + _width(point) / 2)
            at += _width(point) + GAP
        blocks: list[tuple[float, int]] = []
        for point, offset in zip(row, offsets, strict=True):
            total, count = wanted[point] - offset, 1
            while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
                before = blocks.pop()
                total, count = total + before[0], count + before[1]
            blocks.append((total, count))
        levels = [total / count for total, count in blocks for _ in range(count)]
        self.x.update({point: level + offset for point, level, offset in zip(row, levels, offsets, strict=True)})

    def svg(self) -> str:
        """The picture as a file that browsers, GitHub and Sphinx show."""
        width = round(max(self.x[room] + _width(room) / 2 for room in self.x) + MARGIN)
        height = FLOOR_HEIGHT * (len(self.rows) - 1) + BOX_HEIGHT + 2 * MARGIN
        size = f'width="{width}" height="{height}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}">',
            "<title>The rooms of the package, and which imports which</title>",
            f"<style>{STYLE}</style>",
            HEAD,
            f'<rect class="paper" {size} rx="8"/>',
            *(self._arrow(path) for path in self.paths),
            *(self._box(room) for row in self.rows for room in row if room in self.floor),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _y(self, point: str) -> float:
        floor = next(number for number, row in enumerate(self.rows) if point in row)
        return MARGIN + BOX_HEIGHT / 2 + FLOOR_HEIGHT * (len(self.rows) - 1 - floor)

    def _arrow(self, path: list[str]) -> str:
        half = BOX_HEIGHT / 2
        x, y = self.x[path[0]], self._y(path[0]) + half
        line = [f"M{x:.0f} {y:.0f}"]
        for point in path[1:]:
            end, top = self.x[point], self._y(point) - half
            middle = (y + top) / 2
            line.append(f"C{x:.0f} {middle:.0f} {end:.0f} {middle:.0f} {end:.0f} {top:.0f}")
            x, y = end, top + BOX_HEIGHT
            if point != path[-1]:
                line.append(f"V{y:.0f}")
        style = "circle" if path[-1] in self.circles[path[0]] else "arrow"
        return f'<path class="{style}" marker-end="url(#head)" d="{"".join(line)}"/>'

    def _box(self, room: str) -> str:
        width, x, y = _width(room), self.x[room], self._y(room)
        return (
            f'<rect class="box" x="{x - width / 2:.0f}" y="{y - BOX_HEIGHT / 2:.0f}" width="{width:.0f}" '
            f'height="{BOX_HEIGHT}" rx="5"/><text x="{x:.0f}" y="{y + 4:.0f}">{escape(room)}</text>'
        )


def _width(point: str) -> float:
    return 10.0 if " " in point else len(point) * CHARACTER + 22


# The page


def sentence(path: Path) -> str:
    """What a room owns: the first paragraph of its docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    words = " ".join(text.split("\n\n")[0].split()).removeprefix("Owns ").replace("``", "`").replace("|", "\\|")
    return words[:1].upper() + words[1:]


def folders(room: str) -> Iterator[tuple[str, Path]]:
    """The folders with modules inside a room."""
    for path in sorted((PACKAGE / room).rglob("__init__.py")):
        if path.parent != PACKAGE / room and NOT_ROOMS.isdisjoint(path.parts):
            yield str(path.parent.relative_to(PACKAGE)), path


def address(path: Path) -> str:
    """The link from the page to a file; Sphinx knows no links to folders."""
    return f"../../{path.relative_to(ROOT)}"


def tables(arrows: Arrows) -> str:
    """The rooms from the ground up, and the folders inside them."""
    floor, paths = floors(arrows), modules()
    lines = ["| room | owns | imports |", "|---|---|---|"]
    for room in sorted(arrows, key=lambda room: (floor[room], room)):
        path = paths[NAME if room == FACE else f"{NAME}.{room}"]
        others = (
            ", ".join(f"`{other}`" for other in sorted(arrows[room], key=lambda o: (floor[o], o))) or "nothing"
        )
        lines.append(f"| [`{room}`]({address(path)}) | {sentence(path)} | {others or 'nothing'} |")
    inside = [(name, path) for room in arrows for name, path in folders(room)]
    lines += ["", "Inside the larger rooms:", "", "| folder | owns |", "|---|---|"]
    lines += [f"| [`{name}`]({address(path)}) | {sentence(path)} |" for name, path in inside if sentence(path)]
    return "\n".join(lines)


def drawn_page(page: str, arrows: Arrows) -> str:
    """The page with its part between the two marks written anew."""
    before, _, rest = page.partition(FIRST)
    _, _, after = rest.partition(LAST)
    picture = f"![The rooms of the package; an arrow leads from a room to one that it imports]({PICTURE.name})"
    return f"{before}{FIRST}\n\n{picture}\n\n{tables(arrows)}\n\n{LAST}{after}"


def wanted() -> dict[Path, str]:
    """The files that show the rooms, as the code says that they should be."""
    arrows = arrows_between_rooms()
    return {PICTURE: Drawing(arrows).svg(), PAGE: drawn_page(PAGE.read_text(encoding="utf-8"), arrows)}


def stale(files: Mapping[Path, str]) -> list[Path]:
    """Those of the files whose text on disk is another."""
    return [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def main() -> None:
    files = wanted()
    changed = stale(files)
    names = ", ".join(str(path.relative_to(ROOT)) for path in changed)
    if "--check" in sys.argv[1:]:
        if changed:
            raise SystemExit(f"{names}: not what the code says; run `{COMMAND}`")
        return
    for path in changed:
        path.write_text(files[path], encoding="utf-8")
    sys.stdout.write(f"Written: {names}\n" if changed else "Nothing has changed.\n")


if __name__ == "__main__":
    main()
