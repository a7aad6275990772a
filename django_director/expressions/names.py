"""The names that expressions may use, and how a path to a value is written."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Final, Literal

from django_director.common.suggestions import MAX_COMPARED, did_you_mean, question

from .budget import Fault
from .foreign_names import root_hint_elsewhere

Root = Literal["payload", "tasks", "run", "item", "index"]

ROOTS: Final[tuple[Root, ...]] = ("payload", "tasks", "run", "item", "index")
STEP_FIELDS: Final = ("result", "status", "decision")
RUN_FIELDS: Final = ("id", "workflow", "trigger", "scheduled_for", "status", "error")
RUN_ENDS: Final = ("status", "error")
"""The fields that only a run which has ended has."""
EVERYWHERE: Final = frozenset({*ROOTS, *(f"run.{field}" for field in RUN_ENDS)})
"""All names that are known at some place of a file. Not each of them is known at every place."""

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WITH_FIELD: Final = re.compile(r"tasks\.([\w.-]+?)\.(result|status|decision)\b")
_WITH_HYPHEN: Final = re.compile(r"tasks\.(\w+(?:-\w+)+)")
_BEFORE_HYPHEN: Final = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*)\.((?:\w+-)+)$")
_AFTER_HYPHEN: Final = re.compile(r"(?:-?\w+)*")


@dataclass(frozen=True, slots=True)
class Reference:
    """A value that an expression uses, by that part of its path that is known without data.

    ``tasks.FETCH.result.images[item.n]`` has the path ``("FETCH", "result", "images")``. The path of ``tasks``
    begins with a step's id and a field, that of ``run`` with a field. ``column`` and ``place`` mean the same as in
    ``ExpressionError``.
    """

    root: Root
    path: tuple[str | int, ...]
    column: int
    place: tuple[str | int, ...] = ()
    may_be_missing: bool = False
    """Whether it stands in the first argument of ``default``."""
    statuses: tuple[str, ...] = field(default=(), compare=False)
    """The words with which the expression compares this value, if it is a status."""

    def __str__(self) -> str:
        return spell(self.root, *self.path)


def spell(root: str, *path: str | int) -> str:
    """Return a path as it is written in an expression: ``tasks["FETCH-2"].result``."""
    return root + "".join(map(accessor, path))


def accessor(key: str | int) -> str:
    """Return ``.key`` if the key can be written so, else ``["key"]`` or ``[0]``."""
    if isinstance(key, str) and _IDENTIFIER.fullmatch(key):
        return f".{key}"
    return f"[{json.dumps(key, ensure_ascii=False)}]"


def check_path(root: Root, path: Sequence[str | int], text: str, start: int, known: Set[str]) -> None:
    """Raise ``Fault`` for a path that no data can make right; it stands at ``text[start:]``."""
    if root == "tasks":
        _check_step(path, text, start)
    if root == "run":
        _check_run(path, start, known)
    if root == "index" and path:
        raise Fault("`index` is a number and has no keys", at=start)


def _check_run(path: Sequence[str | int], start: int, known: Set[str]) -> None:
    if path and path[0] in RUN_FIELDS:
        return
    fields = [field for field in RUN_FIELDS if field not in RUN_ENDS or f"run.{field}" in known]
    if path:
        raise Fault(f"a run has no `{path[0]}`", did_you_mean(str(path[0]), fields), at=start)
    raise Fault("say what of the run", "write " + ", ".join(f"`run.{field}`" for field in fields), at=start)


def _check_step(path: Sequence[str | int], text: str, start: int) -> None:
    step = path[0] if path else None
    if not isinstance(step, str):
        raise Fault("`tasks` needs the id of a step, as it is written", "write `tasks.ID.result`", at=start)
    if len(path) > 1 and path[1] in STEP_FIELDS:
        return
    if hint := _step_hint(text, start):
        raise Fault(f"`{spell('tasks', step)}` needs `.result`, `.status` or `.decision`", hint, at=start)
    if len(path) == 1 or not isinstance(path[1], str):
        hint = f"write `{spell('tasks', step, 'result')}`"
        raise Fault(f"`{spell('tasks', step)}` needs `.result`, `.status` or `.decision`", hint, at=start)
    raise Fault(f"a step has no `{path[1]}`", did_you_mean(path[1], STEP_FIELDS), at=start)


def _step_hint(text: str, start: int) -> str:
    """Return the hint to write ``tasks["FETCH-2"].result`` for ``tasks.FETCH-2.result``; empty for other texts."""
    if match := _WITH_FIELD.match(text, start):
        step, field = match.groups()
    elif match := _WITH_HYPHEN.match(text, start):
        step, field = match[1], "result"
    else:
        return ""
    return "" if _IDENTIFIER.fullmatch(step) else f"write `{spell('tasks', step, field)}`"


def root_hint(word: str, known: Set[str]) -> str:
    """Return a hint what an unknown name may mean."""
    if foreign := root_hint_elsewhere(word, known):
        return foreign
    roots = [root for root in ROOTS if root in known]
    listed = ", ".join(f"`{root}`" for root in roots)
    return question(word, roots, "`{}`") or f"known: {listed}; a text stands in quotes"


def hyphen_hint(text: str, start: int, end: int) -> str:
    """Return the hint to write ``payload["order-id"]`` in place of ``payload.order-id``; empty for other texts.

    ``text[start:end]`` is the word ``id``.
    """
    before = _BEFORE_HYPHEN.search(text[max(0, start - 2 * MAX_COMPARED) : start])
    after = _AFTER_HYPHEN.match(text, end)
    if not before or not after:
        return ""
    name = before[2] + text[start:end] + after[0]
    return f"write `{before[1]}{accessor(name)}`" if len(name) <= MAX_COMPARED else ""
