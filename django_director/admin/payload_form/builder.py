"""Builds the tree of a form's parts from a schema, the value with which the form begins, and what was sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, TypedDict

from django import forms
from django.utils.translation import gettext as _

from django_director.admin.formatting import readable, zone
from django_director.drawing.picture import shorten
from django_director.masking.secret_places import hides_value
from django_director.masking.values import holds_mask, is_secret_key

from .fields import MISSING, JsonField, LinesField, MomentField, SecretField, TickField, dump
from .makers import list_field, simple_field
from .parts import Group, Leaf, Part, Rows
from .rules import Rule, Rules

LABEL_LENGTH: Final = 80
HELP_LENGTH: Final = 500
MAX_DEPTH: Final = 6
"""A list counts as two levels, itself and its entries. What is deeper is entered as JSON."""
MAX_FIELDS: Final = 600
"""A form has no more fields: Django takes 1,000 of one request (``DATA_UPLOAD_MAX_NUMBER_FIELDS``)."""
MAX_ROWS: Final = 50
ROOM: Final = 60
"""For so many more fields there must be room where a row can be added."""
Path = tuple[str, ...]


class Options(TypedDict):
    """The options that all fields take."""

    label: str
    required: bool


def field_key(*path: str) -> str:
    """Return the name of the field of a property: plain letters, whatever characters the property's name has.

    ``path`` has the names of the properties and the numbers of the rows that lead to it.
    """
    text = path[0] if len(path) == 1 else json.dumps(path)
    return f"property-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:16]}"


class Builder:
    """Builds one form."""

    def __init__(self, form: forms.Form, schema: object, sent: Mapping[str, Any] | None) -> None:
        """``sent`` is what a browser has sent; ``None`` before that."""
        self._form = form
        self._rules = Rules(schema)
        self._sent = sent
        self._left = MAX_FIELDS
        self._is_sure = True
        """Whether the object that is built is there in any case: then it lacks what is not entered."""

    def root(self, schema: object, real: Any, shown: Any) -> Group | None:
        """Return the tree of a payload; ``None`` if it has to be entered as JSON."""
        rule = self._rules.read(schema)
        return self._group((), "", rule, real, shown, is_needed=True) if self._has_group(rule, shown) else None

    @property
    def has_room(self) -> bool:
        """Whether the form may have some more fields."""
        return self._left >= ROOM

    def _part(self, path: Path, schema: object, real: Any, shown: Any, *, is_required: bool) -> Part:
        rule, name = self._rules.read(schema), path[-1]
        label = shorten(rule.text("title") or name, LABEL_LENGTH)
        is_required = is_required and "default" not in rule.words
        empty = None if rule.is_nullable and (is_required or real is None) else MISSING
        options = Options(label=label, required=is_required and empty is MISSING)
        if (is_secret_key(name) or hides_value(rule.words)) and rule.kind != "boolean":
            return self._leaf(path, rule, _secret_field(rule, shown, options), real, shown, empty)
        if field_key(*path) not in (self._sent or {}) and len(path) < MAX_DEPTH:
            inside = shown if shown is not None or not rule.is_nullable else MISSING
            if self._has_group(rule, inside):
                is_needed = (is_required and empty is MISSING) or real == {}
                group = self._group(path, label, rule, real, inside, is_needed=is_needed)
                group.empty = empty
                return group
            rows = self._rows(path, label, rule, real, shown, is_required=is_required)
            if rows is not None:
                return rows
        found = self._list_field(rule, shown, options)
        if found is not None:
            return self._leaf(path, rule, found, real, shown, [] if options["required"] or real == [] else empty)
        found = simple_field(rule, shown, dict(options))
        return self._leaf(path, rule, found or _json_field(shown, options), real, shown, empty)

    def _list_field(self, rule: Rule, shown: Any, options: Options) -> forms.Field | None:
        if rule.kind != "array" or not isinstance(rule.words.get("items"), dict) or "prefixItems" in rule.words:
            return None
        items = self._rules.read(rule.words["items"])
        return None if hides_value(items.words) else list_field(items, shown, dict(options))

    def _leaf(
        self, path: Path, rule: Rule, field: forms.Field, real: Any, shown: Any, empty: Any = MISSING
    ) -> Leaf:
        key = field_key(*path)
        field.help_text = _help(path[-1], rule, field, real)
        is_required, field.required = field.required, field.required and self._is_sure
        self._form.fields[key] = field
        return Leaf(
            form=self._form,
            key=key,
            label=str(field.label),
            is_required=is_required,
            real=real,
            shown=shown,
            empty=empty,
        )

    def _has_group(self, rule: Rule, shown: Any) -> bool:
        """Whether the properties of an object have fields that can show all of ``shown``."""
        if not rule.properties or len(rule.properties) > self._left:
            return False
        if shown is MISSING:
            return True
        return isinstance(shown, dict) and (rule.is_open or shown.keys() <= rule.properties.keys())

    def _group(self, path: Path, label: str, rule: Rule, real: Any, shown: Any, *, is_needed: bool) -> Group:
        self._left -= len(rule.properties)
        was_sure, self._is_sure = self._is_sure, self._is_sure and is_needed
        named = {
            str(name): self._part(
                (*path, str(name)),
                part,
                _inside(real, name),
                _inside(shown, name),
                is_required=name in rule.required,
            )
            for name, part in rule.properties.items()
        }
        self._is_sure = was_sure
        optional = "" if is_needed else _("Left out when empty.")
        return Group(
            form=self._form,
            key=f"group-{field_key(*path)}" if path else "",
            label=label,
            help=" · ".join(filter(None, [_description(path[-1], rule), optional])) if path else "",
            named=named,
            rest=self._rest(path, rule, real, shown),
            is_needed=is_needed,
        )

    def _rest(self, path: Path, rule: Rule, real: Any, shown: Any) -> Leaf | None:
        """Return the field for properties that an object may have besides those that it names."""
        if not rule.is_open:
            return None
        # No property has this name: NUL can't be stored.
        key = field_key(*path, "\0rest")
        real, shown = (_without(value, rule.properties) for value in (real, shown))
        text = _("Properties that have no field here, as a JSON object.")
        initial = None if shown is MISSING else dump(shown)
        self._form.fields[key] = field = JsonField(
            label=_("Further properties"), help_text=text, initial=initial, required=False
        )
        return Leaf(form=self._form, key=key, label=str(field.label), real=real, shown=shown)

    def _rows(
        self, path: Path, label: str, rule: Rule, real: Any, shown: Any, *, is_required: bool
    ) -> Rows | None:
        """Return the rows of a list of objects; ``None`` if they can't show all of ``shown``."""
        items = self._rules.read(rule.words.get("items")) if rule.kind == "array" else None
        if items is None or "prefixItems" in rule.words:
            return None
        given: list[Any] = shown if isinstance(shown, list) else []
        size = max(1, len(items.properties))
        if (shown is not MISSING and not isinstance(shown, list)) or len(given) > MAX_ROWS:
            return None
        if len(given) * size > self._left or not all(self._has_group(items, row) for row in [*given, MISSING]):
            return None
        key = f"rows-{field_key(*path)}"
        numbers = self._numbers(key, max(len(given), _least(rule) if is_required else 0))
        self._form.fields[key] = forms.Field(required=False, widget=forms.MultipleHiddenInput(), label=label)
        self._form.fields[key].initial = numbers
        rows = {
            number: self._group(
                (*path, number),
                _("%(list)s, entry %(n)s") % {"list": label, "n": place},
                items,
                _at(real, int(number)),
                _at(shown, int(number)),
                is_needed=True,
            )
            for place, number in enumerate(numbers, 1)
        }
        return Rows(
            form=self._form,
            key=key,
            label=label,
            help=_description(path[-1], rule),
            rows=rows,
            is_needed=is_required or isinstance(real, list),
            most=min(MAX_ROWS, int(rule.number("maxItems") or MAX_ROWS)),
            builder=self,
        )

    def _numbers(self, key: str, first: int) -> list[str]:
        """Return the numbers of the rows that were sent; before that, of the ``first`` rows."""
        if self._sent is None:
            return [str(number) for number in range(first)]
        sent = self._sent.getlist(key) if hasattr(self._sent, "getlist") else self._sent.get(key, [])
        numbers = [text for text in sent if text.isascii() and text.isdecimal() and len(text) < 6]
        return list(dict.fromkeys(str(int(text)) for text in numbers))[:MAX_ROWS]


def _secret_field(rule: Rule, shown: Any, options: Options) -> forms.Field:
    inner = None if rule.choices is not None else simple_field(rule, MISSING, dict(options))
    initial = shown if isinstance(shown, str) and holds_mask(shown) else None
    return SecretField(inner or JsonField(**options), initial=initial, **options)


def _json_field(shown: Any, options: Options) -> forms.Field:
    return JsonField(initial=None if shown is MISSING else dump(shown), **options)


def _inside(value: Any, name: str) -> Any:
    return value.get(name, MISSING) if isinstance(value, dict) else MISSING


def _at(value: Any, index: int) -> Any:
    return value[index] if isinstance(value, list) and index < len(value) else MISSING


def _without(value: Any, names: Mapping[str, Any]) -> Any:
    """Return the properties of an object that have other names; ``MISSING`` if it has none."""
    found = {name: part for name, part in value.items() if name not in names} if isinstance(value, dict) else {}
    return found or MISSING


def _least(rule: Rule) -> int:
    return min(int(rule.number("minItems") or 0), MAX_ROWS)


def _description(name: str, rule: Rule) -> str:
    is_named = rule.text("title").lower() in ("", name.lower())
    parts = [rule.text("description"), "" if is_named else name]
    return shorten(" · ".join(readable(part) for part in parts if part), HELP_LENGTH)


def _help(name: str, rule: Rule, field: forms.Field, real: Any) -> str:
    """Return what is said below a field: what it means, and what people want to know before they enter a value."""
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {rule.number(word)}" for word, sign in words.items() if rule.number(word) is not None]
    default = ""
    if real is MISSING and "default" in rule.words and not isinstance(field, SecretField | TickField):
        default = _("Left empty: %(value)s") % {"value": shorten(dump(rule.words["default"]), LABEL_LENGTH)}
    parts = [_description(name, rule), ", ".join(limits), default, _how(rule, field)]
    return shorten(" · ".join(part for part in parts if part), HELP_LENGTH)


def _how(rule: Rule, field: forms.Field) -> str:
    """Return how a value is entered in a field whose look does not tell it."""
    match field:
        case MomentField():
            return _("Time zone: %(zone)s") % {"zone": zone()}
        case LinesField():
            return _("One on each line")
        case JsonField():
            return _("JSON")
        case SecretField() if field.initial:
            return _("Left as it is, it keeps its value.")
        case SecretField():
            return _("It is not shown again.")
        case TickField() if field.without_tick is MISSING:
            return _("Left out unless ticked.")
    is_typed = getattr(field.widget, "input_type", "text") != "text"
    return "" if is_typed or isinstance(field.widget, forms.Select) else rule.text("format")
