"""The parts of a form, a tree with the shape of the payload: fields, groups of fields, and rows of groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

from django import forms
from django.utils.translation import gettext as _

from django_director.masking.values import restore

from .fields import MISSING, LinesField, TickField

Keys = Sequence[str | int]
ADD: Final = "add"
REMOVE: Final = "remove"
"""The names of the buttons that add a row, and take one away."""


@dataclass(kw_only=True)
class Part:
    """One place of the payload in the form."""

    kind: ClassVar[str]
    form: forms.Form
    key: str
    """The name of its field, or what takes the place of one."""
    label: str
    help: str = ""

    @property
    def members(self) -> Sequence[Part]:
        """The parts in it."""
        return ()

    @property
    def is_touched(self) -> bool:
        """Whether something is entered in it."""
        return any(part.is_touched for part in self.members)

    def read(self) -> Any:
        """Return what is entered; ``MISSING`` for nothing, and for what is wrong."""
        raise NotImplementedError

    def find(self, keys: Keys) -> tuple[Part, Keys]:
        """Return the part to which ``keys`` lead, and those keys that lead further inside."""
        return self, keys

    def leaves(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Part]]:
        """Yield all parts in it that may have errors, each with the labels of the parts around it."""
        for part in self.members:
            yield from part.leaves((*path, self.label) if self.label else path)


@dataclass(kw_only=True)
class Leaf(Part):
    """A part with one field."""

    kind: ClassVar[str] = "field"
    is_required: bool = False
    """Whether the schema asks for it, if the object is there in which it is."""
    real: Any
    """The value with which it begins, or ``MISSING``."""
    shown: Any
    """The same with its secrets hidden."""
    empty: Any = MISSING
    """The value of an empty field: ``None`` where that is a value of the schema."""

    @property
    def bound(self) -> forms.BoundField:
        """The field as a template prints it."""
        return self.form[self.key]

    @property
    def is_tick(self) -> bool:
        """Whether it is a box to tick, whose label stands behind it."""
        return isinstance(self.form.fields[self.key], TickField)

    @property
    def has_boxes(self) -> bool:
        """Whether it has several inputs, so that its label belongs to none of them."""
        return isinstance(self.form.fields[self.key], forms.MultipleChoiceField)

    @property
    def is_touched(self) -> bool:
        return self._raw not in (None, "", [], False)

    @property
    def _raw(self) -> Any:
        found = self.bound.data
        return found.replace("\r\n", "\n") if isinstance(found, str) else found

    def read(self) -> Any:
        if self.key not in self.form.cleaned_data:
            return MISSING
        field = self.form.fields[self.key]
        if self.real is not MISSING and self._raw not in ("", None) and self._raw == _as_sent(field.initial):
            # It was left alone: what the field can't show, as a fraction of a second or a secret, is kept.
            return self.real
        value = self.form.cleaned_data[self.key]
        if value in (None, "") and not str(self._raw or "").strip():
            value = MISSING
        if value is MISSING:
            return self.empty
        return value if self.real is MISSING else restore(value, self.real, self.shown)

    def place_in(self, keys: Keys, path: str) -> str:
        """Return where in an entered list or JSON value an error is; empty for the value as a whole."""
        if not keys:
            return ""
        if isinstance(self.form.fields[self.key], LinesField | forms.MultipleChoiceField):
            return _("Entry %(n)s") % {"n": int(keys[0]) + 1}
        return path

    def leaves(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Part]]:
        yield (*path, self.label), self


def _as_sent(initial: object) -> object:
    """Return the value with which a field begins as a browser sends it back."""
    return initial if isinstance(initial, str | list) or initial is None else str(initial)


@dataclass(kw_only=True)
class Group(Part):
    """An object whose properties have parts of their own."""

    kind: ClassVar[str] = "group"
    named: Mapping[str, Part] = field(default_factory=dict)
    rest: Leaf | None = None
    """The field for properties that the schema does not name."""
    is_needed: bool = False
    """Whether the object is there even if nothing is entered."""
    empty: Any = MISSING
    """The value if nothing is entered and the object is not there."""

    @property
    def members(self) -> Sequence[Part]:
        return [*self.named.values(), *([self.rest] if self.rest else [])]

    def read(self) -> Any:
        if not self.is_needed and not self.is_touched:
            return self.empty
        found = ((name, part.read()) for name, part in self.named.items())
        values = {name: value for name, value in found if value is not MISSING}
        others = self.rest.read() if self.rest else MISSING
        return {**others, **values} if isinstance(others, dict) else values

    def find(self, keys: Keys) -> tuple[Part, Keys]:
        part = self.named.get(str(keys[0])) if keys else None
        if part is not None:
            return part.find(keys[1:])
        return (self.rest, keys) if keys and self.rest else (self, keys)


class HasRoom(Protocol):
    """What knows whether the form may have more fields."""

    @property
    def has_room(self) -> bool:
        """Whether the form may have some more fields."""


@dataclass(kw_only=True)
class Rows(Part):
    """A list of objects. Its field holds the numbers of its rows, which stay the same when a row is taken away."""

    kind: ClassVar[str] = "rows"
    rows: Mapping[str, Group]
    most: int
    """How many rows it may have."""
    builder: HasRoom
    is_needed: bool = False

    @property
    def can_add(self) -> bool:
        """Whether one more row may be added."""
        return len(self.rows) < self.most and self.builder.has_room

    @property
    def bound(self) -> forms.BoundField:
        """The field with the numbers of the rows."""
        return self.form[self.key]

    @property
    def members(self) -> Sequence[Part]:
        return list(self.rows.values())

    @property
    def is_touched(self) -> bool:
        return bool(self.rows)

    def read(self) -> Any:
        if not self.rows and not self.is_needed:
            return MISSING
        return [row.read() for row in self.rows.values()]

    def find(self, keys: Keys) -> tuple[Part, Keys]:
        if not keys or not isinstance(keys[0], int) or keys[0] >= len(self.rows):
            return self, keys
        return self.members[keys[0]].find(keys[1:])

    def leaves(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Part]]:
        yield (*path, self.label), self
        # The labels of the rows name the list.
        for row in self.rows.values():
            yield from row.leaves(path)
