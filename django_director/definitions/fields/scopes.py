"""Which names an expression may use, depending on where it stands."""

from __future__ import annotations

from typing import Final

from django_director.common.suggestions import did_you_mean
from django_director.definitions.source import codes
from django_director.definitions.source.report import Report
from django_director.status import RunStatus, TaskStatus

from .expressions import Use
from .payload_keys import check_payload

AT_START: Final = frozenset({"payload", "run"})
"""What `concurrency.key` may use: it is evaluated before the run has begun."""
IN_STEP: Final = frozenset({"payload", "run", "tasks"})
IN_HOOK: Final = IN_STEP | {"run.status", "run.error"}
IN_MAP: Final = IN_STEP | {"item", "index"}


def check_use(use: Use, scope: frozenset[str], report: Report) -> bool:
    """Return whether an expression may use a name where it stands; report it if not."""
    root, path = use.reference.root, use.reference.path
    name = f"run.{path[0]}" if root == "run" and path and path[0] in ("status", "error") else str(root)
    if name in scope:
        if root == "payload":
            check_payload(use, report)
        _note_status(use, report)
        return True
    message = f"`{use.key}` uses `{name}`, which is not known here"
    report.error(codes.SCOPE, use.node, message, _HINTS[name])
    return False


def _note_status(use: Use, report: Report) -> None:
    words = [str(status) for status in (TaskStatus if use.reference.root == "tasks" else RunStatus)]
    for word in use.reference.statuses:
        if word not in words:
            message = f"`{use.key}` compares a status with “{word[:40]}”, which is none"
            report.note(codes.STATUS, use.node, message, did_you_mean(word, words, listed=len(words)))


_HINTS: Final = {
    "item": "only what a map does for each item knows `item` and `index`",
    "index": "only what a map does for each item knows `item` and `index`",
    "run.status": "only hooks know how the run has ended",
    "run.error": "only hooks know how the run has ended",
    "tasks": "no step has run yet when this is computed; use `payload`",
}
