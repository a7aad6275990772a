"""Makes the field for a value from its rule: which input a browser shows, and what it begins with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from django import forms
from django.contrib.admin import widgets
from django.utils import timezone

from django_director.common.json_values import parse
from django_director.definitions.json_schema import formats

from . import fields
from .fields import MISSING
from .rules import Rule

LONG: Final = 200
"""A text that may have more characters is entered in several lines."""
MOST_BOXES: Final = 30
"""Of how many allowed values of a list each has a box to tick."""
_FORMATS: Final = {"email": "email", "uri": "url", "url": "url"}


def simple_field(rule: Rule, value: object, options: dict[str, Any]) -> forms.Field | None:
    """Return the field for a text, a number, a choice or yes or no, which begins with ``value``.

    ``None`` if there is no such field, or if it can't show ``value``: then JSON is entered.
    """
    if value is None and rule.is_nullable:
        value = MISSING
    if rule.choices is not None:
        return _choice(rule.choices, value, options)
    maker = _MAKERS.get(rule.kind)
    return maker(rule, value, options) if maker else None


def list_field(items: Rule, value: object, options: dict[str, Any]) -> forms.Field | None:
    """Return the field for a list of simple values; ``None`` if there is none that can show ``value``."""
    if value is not MISSING and not isinstance(value, list):
        return None
    given: list[Any] = value if isinstance(value, list) else []
    if items.choices is not None:
        return _boxes(items.choices, given, options)
    if items.is_nullable or items.kind not in _LINES:
        return None
    read, write = _LINES[items.kind]
    lines = [write(entry) for entry in given]
    if any(line is None for line in lines):
        return None
    complaint = fields.WHOLE_NUMBER if items.kind == "integer" else fields.NUMBER
    return fields.LinesField(
        read=read, complaint=str(complaint), initial="\n".join(filter(None, lines)) or None, **options
    )


def _choice(values: list[Any], value: object, options: dict[str, Any]) -> forms.Field | None:
    if value is not MISSING and json.dumps(value) not in map(json.dumps, values):
        return None
    initial = None if value is MISSING else json.dumps(value)
    has_none = initial is None or not options["required"]
    return fields.choice_field(values, has_none=has_none, initial=initial, **options)


def _boxes(values: list[Any], given: list[Any], options: dict[str, Any]) -> forms.Field | None:
    texts = [json.dumps(entry) for entry in given]
    in_order = [text for text, _ in fields.choices_of(values) if text in texts]
    if len(values) > MOST_BOXES or texts != in_order:
        return None
    return fields.ChoicesField(
        choices=fields.choices_of(values),
        coerce=json.loads,
        empty_value=MISSING,
        initial=texts,
        **{**options, "required": False},
    )


def _tick(rule: Rule, value: object, options: dict[str, Any]) -> forms.Field | None:
    if value not in (True, False, MISSING) or (value is not MISSING and not isinstance(value, bool)):
        return None
    default = rule.words.get("default", MISSING)
    if value is MISSING and default is True:
        # Left out, such a value comes to be true: a box without a tick would not say so.
        return fields.choice_field([True, False], has_none=True, **options)
    is_left_out = value is MISSING and default is MISSING and not options["required"]
    return fields.TickField(
        without_tick=MISSING if is_left_out else False,
        initial=value is True,
        **{**options, "widget": fields.TickInput()},
    )


def _text(rule: Rule, value: object, options: dict[str, Any]) -> forms.Field | None:
    if value is not MISSING and (not isinstance(value, str) or value == "" or "\r" in value):
        return None
    text = value if isinstance(value, str) else None
    if rule.text("format") == "date-time" and (text is None or formats.is_moment(text)):
        widget = fields.MomentInput()
        return fields.MomentField(**{"widget": widget, "initial": text and _as_local(text), **options})
    return fields.TextField(**{"widget": _text_widget(rule, text), "initial": text, **options})


def _text_widget(rule: Rule, text: str | None) -> forms.Widget:
    kind, most = rule.text("format"), rule.number("maxLength") or 0
    if kind == "date" and (text is None or formats.is_date(text)):
        return fields.typed_input("date")
    if kind == "time" and (text is None or re.fullmatch(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?", text)):
        return fields.typed_input("time", step="1")
    if most > LONG or "\n" in (text or ""):
        return forms.Textarea(attrs={"rows": 6, "class": "director-prose"})
    if kind in _FORMATS:
        return fields.typed_input(_FORMATS[kind])
    return widgets.AdminTextInputWidget()


def _as_local(text: str) -> str:
    moment = datetime.fromisoformat(text.upper())
    try:
        return timezone.make_naive(moment, timezone.get_current_timezone()).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return text


def _integer(rule: Rule, value: object, options: dict[str, Any]) -> forms.Field | None:
    return _number_of(forms.IntegerField, rule, value, options, 1)


def _number(rule: Rule, value: object, options: dict[str, Any]) -> forms.Field | None:
    return _number_of(fields.NumberField, rule, value, options, 0)


def _number_of(
    field: type[forms.Field], rule: Rule, value: object, options: dict[str, Any], unit: int
) -> forms.Field | None:
    """Return a field for numbers; ``unit`` is 1 for whole numbers, for which more than 3 begins at 4."""
    if value is not MISSING and not _is_number(value, is_whole=bool(unit)):
        return None
    attributes = {"step": rule.number("multipleOf") or unit or "any"}
    lowest, highest = rule.number("exclusiveMinimum"), rule.number("exclusiveMaximum")
    least = rule.number("minimum") if lowest is None else lowest + unit
    most = rule.number("maximum") if highest is None else highest - unit
    bounds = {name: bound for name, bound in {"min": least, "max": most}.items() if bound is not None}
    widget = forms.NumberInput({"class": "director-short", **attributes, **bounds})
    return field(**{"widget": widget, "initial": None if value is MISSING else value, **options})


def _is_number(value: object, *, is_whole: bool) -> bool:
    if isinstance(value, float) and is_whole:
        return value.is_integer() and abs(value) < fields.EXACT
    return isinstance(value, int | float) and not isinstance(value, bool)


def _line_of_text(value: object) -> str | None:
    is_fitting = isinstance(value, str) and value.strip() and value.splitlines() == [value]
    return str(value) if is_fitting else None


def _line_of_number(value: object) -> str | None:
    return json.dumps(value) if _is_number(value, is_whole=False) else None


def _read_integer(line: str) -> int:
    return int(line)


def _read_number(line: str) -> object:
    found = parse(line.strip())
    if not isinstance(found, int | float) or isinstance(found, bool):
        raise ValueError
    return found


_LINES: Final[dict[str, tuple[Callable[[str], object], Callable[[object], str | None]]]] = {
    "string": (str, _line_of_text),
    "integer": (_read_integer, _line_of_number),
    "number": (_read_number, _line_of_number),
}
_MAKERS: Final[dict[str, Callable[[Rule, object, dict[str, Any]], forms.Field | None]]] = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _tick,
}
