"""Lines of Django's history in the language of the reader: the rows have them in English."""

from __future__ import annotations

import re
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

DEEDS: Final[dict[str, Any]] = {
    "Started": pgettext_lazy("history", "Started"),
    "Canceled": pgettext_lazy("history", "Canceled"),
    "Paused": pgettext_lazy("history", "Paused"),
    "Resumed": pgettext_lazy("history", "Resumed"),
    "Retried": pgettext_lazy("history", "Retried"),
    "Relaunched": pgettext_lazy("history", "Relaunched"),
    "Rerun": pgettext_lazy("history", "Rerun"),
    "Skipped": pgettext_lazy("history", "Skipped"),
    "Approved": pgettext_lazy("history", "Approved"),
    "Rejected": pgettext_lazy("history", "Rejected"),
}
"""What ``engine.history.PAST`` says that was done."""
OF_SCHEDULES: Final[dict[str, Any]] = {
    "added": pgettext_lazy("history", "Schedule “%(name)s” added"),
    "changed": pgettext_lazy("history", "Schedule “%(name)s” changed"),
    "switched on": pgettext_lazy("history", "Schedule “%(name)s” switched on"),
    "switched off": pgettext_lazy("history", "Schedule “%(name)s” switched off"),
    "deleted": pgettext_lazy("history", "Schedule “%(name)s” deleted"),
}
FACES: Final[dict[str, Any]] = {
    "admin": pgettext_lazy("by what something was done", "admin"),
    "command": pgettext_lazy("by what something was done", "command"),
}
_LINE: Final = re.compile(
    r"(?:(?P<step>.*): )?"
    rf"(?:(?P<deed>{'|'.join(DEEDS)})(?: (?P<way>from|as) (?P<run>[0-9a-f-]{{36}}))?"
    rf"|Schedule “(?P<schedule>.*)” (?P<change>{'|'.join(OF_SCHEDULES)}))"
    r"(?: \((?P<via>[^()]+)\))?",
    re.DOTALL,
)


def new_run_of(line: str) -> str:
    """Return the id of the new run from a line that says that a run was relaunched; else an empty text."""
    found = _LINE.fullmatch(line)
    return found["run"] if found is not None and found["way"] == "as" else ""


def translate(line: str) -> str:
    """Return a line of the engine in the present language; any other line as it is."""
    found = _LINE.fullmatch(line)
    if found is None:
        return line
    if found["deed"]:
        text = str(DEEDS[found["deed"]])
        if found["run"]:
            template = _("%(deed)s from %(run)s") if found["way"] == "from" else _("%(deed)s as %(run)s")
            text = template % {"deed": text, "run": found["run"]}
    else:
        text = OF_SCHEDULES[found["change"]] % {"name": found["schedule"]}
    if found["step"]:
        text = f"{found['step']}: {text}"
    return f"{text} ({FACES.get(found['via'], found['via'])})" if found["via"] else text
