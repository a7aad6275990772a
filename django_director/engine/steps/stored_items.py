"""Reads the items of a map from the result of a task in pieces: the process never holds the whole list."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final
from uuid import UUID

from django.db.models import CharField, F, Func, QuerySet, TextField, Value
from django.db.models.expressions import Combinable
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Cast, Substr

from django_director.common import ids
from django_director.common.json_values import NotStorable, normalise
from django_director.conf import director
from django_director.db.transactions import WORKER_PATIENCE, connection, statement
from django_director.exceptions import InvalidItems
from django_director.graph import StoredList
from django_director.models import Task

PIECE: Final = 2 * 1024 * 1024
"""How many characters one query reads. For each piece the database unpacks the whole result."""
UTF8: Final = 4
"""How many bytes a character has at most."""

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_decode: Final = json.JSONDecoder().raw_decode


class StoredItems(Collection[str]):
    """The items of a list in the result of a task, each as JSON text. Only the first piece is kept.

    Each iteration reads the others anew. Nothing changes the result while the run is active, so each yields the
    same items.
    """

    def __init__(self, run_id: UUID, place: StoredList) -> None:
        self._rows = Task.objects.filter(pk=ids.task_id(run_id, place.position))
        self._text = _text_at(place.keys)
        self._first = self._piece(1)
        self._count: int | None = None

    @property
    def is_list(self) -> bool:
        """Whether there is a list at the place."""
        return self._first.startswith("[")

    def check(self) -> None:
        """Read all items once. Raises ``InvalidItems`` for an item over ``MAX_RESULT``."""
        for index, text in enumerate(self):
            # The text may also have blanks that do not count.
            if len(text) * UTF8 > director.MAX_RESULT:
                check_size(index, json.loads(text))
            self._count = index + 1

    def __iter__(self) -> Iterator[str]:
        return elements(self._pieces())

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self)
        return self._count

    def __contains__(self, text: object) -> bool:
        return any(text == own for own in self)

    def _pieces(self) -> Iterator[str]:
        piece, start = self._first, 1
        while piece:
            yield piece
            start += PIECE
            piece = self._piece(start) if len(piece) == PIECE else ""

    def _piece(self, start: int) -> str:
        piece = Substr(self._text, start, PIECE, output_field=TextField())
        rows: QuerySet[Task, str | None] = self._rows.values_list(piece, flat=True)
        return statement(rows.first, patience=WORKER_PATIENCE) or ""


def check_size(index: int, item: object) -> str:
    """Return an item as JSON text. Raises ``InvalidItems`` if it can't be stored, or is over ``MAX_RESULT``."""
    try:
        return json.dumps(normalise(item, director.MAX_RESULT))
    except NotStorable as error:
        raise InvalidItems(f'item {index} of `over`: {error} (DIRECTOR["MAX_RESULT"])') from error


def elements(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the JSON text of each element of a list whose JSON text comes in pieces.

    Raises ``InvalidItems`` if the text ends before the list does.
    """
    left = iter(pieces)
    buffer, at = next(left, ""), 1
    while True:
        start = _skip(buffer, at)
        if buffer.startswith("]", start):
            return
        end = _end(buffer, start)
        if end is None:
            piece = next(left, "")
            if not piece:
                raise InvalidItems("the list that `over` gives is not there any more")
            buffer, at = buffer[start:] + piece, 0
            continue
        yield buffer[start:end]
        behind = _skip(buffer, end)
        at = behind + buffer.startswith(",", behind)


def _end(buffer: str, start: int) -> int | None:
    """Return where the element that begins at ``start`` ends; ``None`` if a part of it is missing."""
    try:
        end: int = _decode(buffer, start)[1]
    except ValueError:
        return None
    # A number may go on in the next piece: only a comma or the end of the list shows that it does not.
    return end if buffer.startswith((",", "]"), _skip(buffer, end)) else None


def _skip(buffer: str, at: int) -> int:
    found = _SPACE.match(buffer, at)
    return at if found is None else found.end()


def _text_at(keys: tuple[str, ...]) -> Combinable:
    """Return the JSON text of what stands under ``keys`` in the column ``result``; NULL if nothing does."""
    vendor = connection().vendor
    if not keys or vendor == "postgresql":
        value: F | KeyTransform = F("result")
        for key in keys:
            value = KeyTransform(key, value)
        return Cast(value, TextField())
    path = Value("$" + "".join(f'."{key}"' for key in keys))
    found = Func(F("result"), path, function="JSON_EXTRACT", output_field=TextField())
    # Else SQLite would give a text without its quotes, which may look like a list.
    return Func(found, function="JSON_QUOTE", output_field=CharField()) if vendor == "sqlite" else found
