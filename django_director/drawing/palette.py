"""The colours of statuses for pictures outside of the admin's pages: the light ones of the style sheet."""

from __future__ import annotations

from typing import Final

COLOURS: Final = {
    "pending": ("#e8eaed", "#3c4350"),
    "queued": ("#dfe7fb", "#24408e"),
    "waiting": ("#ece3fb", "#56309b"),
    "running": ("#cfe8ff", "#0b4a7d"),
    "success": ("#d5f0dc", "#14592c"),
    "failed": ("#fbd9d9", "#8c1616"),
    "upstream_failed": ("#fde6cf", "#7a3d05"),
    "canceled": ("#e5e0da", "#574a3b"),
    "canceling": ("#f3dfee", "#74205c"),
    "paused": ("#fff1c2", "#6a4b00"),
    "skipped": ("#eef0f2", "#525c69"),
    "none": ("#f4f5f7", "#333a45"),
}
"""The colour of the ground and that of text and borders, by status."""
LINE: Final = "#8a929d"
FONT: Final = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
NOTE_FONT: Final = "system-ui, 'DejaVu Sans', 'Segoe UI', Roboto, sans-serif"


def style_sheet() -> str:
    """Return the style of a picture that is a file of its own. It uses no variables: not all viewers know them."""
    statuses = (
        f".director-{status} rect{{fill:{ground};stroke:{text}}}"
        f".director-{status} text,.director-{status} path{{fill:{text}}}"
        for status, (ground, text) in COLOURS.items()
    )
    return "".join(
        (
            ".director-graph{background:#fff}",
            f".director-lines{{fill:none;stroke:{LINE};stroke-width:1.5}}.director-across{{stroke-dasharray:5 4}}",
            f".director-arrows,.director-dot{{fill:{LINE}}}",
            f".director-frame rect{{fill:#f8f8f8;fill-opacity:.7;stroke:{LINE}}}",
            f".director-frame text{{font:600 12px {FONT};fill:#555}}",
            ".director-frame-none rect,.director-frame-hooks rect{stroke-dasharray:4 4}",
            f".director-label{{font:600 12px {FONT}}}.director-note{{font:11px {NOTE_FONT}}}",
            ".director-sheet{opacity:.55}",
            *statuses,
        )
    )
