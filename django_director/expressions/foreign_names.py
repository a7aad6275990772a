"""Hints for names and functions of other expression languages: how the same is written here."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

_ROOTS: Final = {
    **dict.fromkeys(("inputs", "input", "params", "parameters", "vars", "event"), "payload"),
    **dict.fromkeys(("steps", "jobs", "needs", "outputs", "states", "ti"), "tasks"),
    **dict.fromkeys(("workflow", "github", "dag_run", "execution", "trigger", "flow"), "run"),
    **dict.fromkeys(("matrix", "each", "value", "element"), "item"),
}
_EXAMPLES: Final = {"payload": "payload.name", "tasks": "tasks.ID.result", "run": "run.id", "item": "item"}
_OUTSIDE: Final = ("env", "environ", "secrets", "settings", "os", "now", "today")

FUNCTIONS: Final = {
    "success": "take it out: a step runs when nothing before it has failed",
    "failure": "write `trigger_rule: any_failed` in the step",
    "always": "write `trigger_rule: always` in the step",
    "cancelled": "write `hooks: {canceled: TASK}` in the workflow",
    "contains": "write `x in y`",
    "format": 'write `"order " + str(payload.order)`',
    "length": "write `len(x)`",
    "size": "write `len(x)`",
    "count": "write `len(x)`",
    "get": "write `default(payload.name, 0)`",
    "coalesce": "write `default(x, y)`",
    "string": "write `str(x)`",
    "number": "write `float(x)`",
    "now": "the time of a run is not known to expressions: let a task tell it",
}


def root_hint_elsewhere(word: str, known: Set[str]) -> str:
    """Return a hint how the value of another language's name is written here; empty for any other word."""
    meant = _ROOTS.get(word, "")
    if meant in known:
        return f"write `{_EXAMPLES[meant]}`"
    return (
        f"expressions don't know `{word}`: let the payload hold it, or a task read it" if word in _OUTSIDE else ""
    )
