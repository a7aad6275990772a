"""The icon of each status as a path in a square of 16 by 16: fonts lack many of these signs."""

from __future__ import annotations

from functools import cache
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

_CROSS: Final = "M4.2 3 8 6.8 11.8 3 13 4.2 9.2 8l3.8 3.8-1.2 1.2L8 9.2 4.2 13 3 11.8 6.8 8 3 4.2z"
_PAUSE: Final = "M4 3h3v10H4zM9 3h3v10H9z"
_RING: Final = "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zm0 1.6a4.4 4.4 0 1 0 0 8.8 4.4 4.4 0 0 0 0-8.8z"
_STOP: Final = "M3.5 3.5h9v9h-9z"

SIDE: Final = 16
"""The width and height of the square, in the units of the paths."""
PATHS: Final = {
    "pending": _RING,
    "queued": "M2 3.5h12v2H2zM2 7h12v2H2zM2 10.5h12v2H2z",
    "running": "M4 2.5 13.5 8 4 13.5z",
    "waiting": _RING + "M7.2 4.8h1.6v3l2.2 1.4-.9 1.3-2.9-1.9z",
    "success": "M6.3 13 1.8 8.5l1.4-1.4 3.1 3.1 6.5-6.6 1.4 1.4z",
    "failed": _CROSS,
    "canceled": _STOP,
    "canceling": _STOP,
    "paused": _PAUSE,
    "skipped": "M3 3l5 5-5 5zM8 3l5 5-5 5z",
    "upstream_failed": "M7 2h2v7.2l3-3 1.4 1.4L8 13 2.6 7.6 4 6.2l3 3z",
    "lost": _CROSS,
    "timed_out": _CROSS,
    "none": "",
}


@cache
def icon(status: str) -> SafeString:
    """Return the icon of a status as SVG. It stands beside the status's name, so screen readers skip it."""
    return format_html(
        '<svg class="director-icon" viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" '
        'focusable="false"><path d="{}"/></svg>',
        PATHS.get(status, _RING),
    )


KINDS: Final = {
    "map": "M2 2h9v9H2zM12 5h2v9H5v-2h7z",
    "workflow": "M9 2h5v5l-1.8-1.8L7.4 10 6 8.6l4.8-4.8zM2 4h4.5v1.6H3.6v6.8h6.8V9.5H12V14H2z",
    "approval": "M8 1.5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM2.5 14c0-3.2 2.4-5 5.5-5s5.5 1.8 5.5 5z",
    "wait": _RING + "M7.2 4.8h1.6v3l2.2 1.4-.9 1.3-2.9-1.9z",
    "condition": "M8 1.5 14.5 8 8 14.5 1.5 8zM8 4 4 8l4 4 4-4z",
    "folded": "M2 2h12v12H2zM3.5 3.5v9h9v-9zM7.2 5h1.6v2.2H11v1.6H8.8V11H7.2V8.8H5V7.2h2.2z",
    "open": "M2 2h12v12H2zM3.5 3.5v9h9v-9zM5 7.2h6v1.6H5z",
}
"""The mark of each kind of step that is more than a task, and of frames that can be unfolded or folded."""
