"""The payloads of runs in this process: each is read when a task uses it, and kept for the run's other tasks.

A run's payload never changes while the run works. A person may have mended it by hand between a failure and a
retry, so what is kept counts for one generation of the run.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from enum import Enum, auto
from functools import cached_property, partial
from threading import Lock
from typing import Any, Final, TypeAlias
from uuid import UUID

from django.db.models import Case, ExpressionWrapper, F, Q, TextField, Value, When
from django.db.models.expressions import Combinable
from django.db.models.lookups import LessThanOrEqual

from django_director.db.functions import StoredSize
from django_director.db.transactions import WORKER_PATIENCE, statement
from django_director.models import Run

Key: TypeAlias = tuple[UUID, int]
"""The id of a run, and its generation."""
Text: TypeAlias = str | bytes
"""A payload as JSON, as the database's driver returns it."""

SMALL: Final = 2048
"""A payload of so many bytes costs a claim nothing worth sparing, and a later query more: it is always read."""
KEPT: Final = 4 * 1024 * 1024
"""How many characters of JSON the payloads have together that are kept; decoded they take a few times that."""
OVERHEAD: Final = 512
"""What a payload counts besides its text, so that the number of those that are kept is bounded too."""


class RunGone(LookupError):
    """The run was deleted before its payload was read."""


class Reading(Enum):
    """How much of its run's payload a claim reads."""

    NONE = auto()
    IF_SMALL = auto()
    WHOLE = auto()


class Payload:
    """The payload of a run. It is read and decoded when it is asked for."""

    def __init__(self, run_id: UUID, text: Text | None = None, generation: int = 0) -> None:
        """``text`` is ``None`` if it has not been read yet."""
        self.run_id = run_id
        self.key = run_id, generation
        self._text = text

    @classmethod
    def of_value(cls, run_id: UUID, value: object) -> Payload:
        """Return the payload of a run from its value."""
        return cls(run_id, json.dumps(value))

    @cached_property
    def value(self) -> Any:
        """The value. All tasks of the run in this process share it, so nobody may change it.

        Raises ``RunGone``.
        """
        return self.copy()

    def copy(self) -> Any:
        """Return the value as a new object, which user code may change. Raises ``RunGone``."""
        if self._text is None:
            self._text = statement(partial(_read, self.run_id), patience=WORKER_PATIENCE)
            _kept.add(self)
        return json.loads(self._text)

    @property
    def is_read(self) -> bool:
        """Whether this process has it."""
        return self._text is not None

    @property
    def size(self) -> int:
        """How much it counts among the payloads that are kept."""
        return OVERHEAD + len(self._text or "")


def kept(run_id: UUID, generation: int = 0) -> Payload | None:
    """Return the payload of a run if this process has it, or knows that it is not small."""
    return _kept.get((run_id, generation))


def keep(run_id: UUID, known: Payload | None, text: Text | None, generation: int = 0) -> Payload:
    """Return the payload of a run after a claim: the one that was ``known``, or one of the ``text`` just read."""
    if known is not None and (known.is_read or text is None):
        return known
    payload = Payload(run_id, text, generation)
    _kept.add(payload)
    return payload


def reading(is_used: bool, known: Payload | None) -> Reading:
    """Return how much of the payload a claim is to read."""
    if known is None:
        return Reading.WHOLE if is_used else Reading.IF_SMALL
    return Reading.NONE if known.is_read or not is_used else Reading.WHOLE


def column(wanted: Reading, own: Q) -> Combinable:
    """Return the expression for the payload as text in a query of tasks; only the row ``own`` has it."""
    payload, text = F("run__payload"), TextField()
    if wanted is Reading.NONE:
        return Value(None, output_field=text)
    small = Q(LessThanOrEqual(StoredSize(payload), SMALL))
    return Case(When(own & small if wanted is Reading.IF_SMALL else own, then=payload), output_field=text)


def _read(run_id: UUID) -> Text:
    text = ExpressionWrapper(F("payload"), output_field=TextField())
    found: Text | None = Run.objects.filter(pk=run_id).values_list(text, flat=True).first()
    if found is None:
        raise RunGone(f"run {run_id} was deleted")
    return found


class _Kept:
    """The payloads that were asked for last, with the size that each was counted with."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._payloads: OrderedDict[Key, tuple[Payload, int]] = OrderedDict()
        self._size = 0

    def get(self, key: Key) -> Payload | None:
        with self._lock:
            if key not in self._payloads:
                return None
            self._payloads.move_to_end(key)
            return self._payloads[key][0]

    def add(self, payload: Payload) -> None:
        """Keep a payload in place of those not asked for the longest, unless it exceeds ``KEPT`` alone."""
        size = payload.size
        with self._lock:
            self._size -= self._payloads.pop(payload.key, (None, 0))[1]
            if size > KEPT:
                return
            self._payloads[payload.key] = payload, size
            self._size += size
            while self._size > KEPT:
                self._size -= self._payloads.popitem(last=False)[1][1]


_kept: Final = _Kept()
