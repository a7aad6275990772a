"""The fields of the form: how a value of JSON is entered, and how it is shown before that."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from django import forms
from django.contrib.admin import widgets
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_director.admin import formatting
from django_director.common.json_values import parse
from django_director.common.texts import escaped
from django_director.masking.values import MASKED, holds_mask

MISSING: Final[Any] = object()
"""Stands for a value that is not there, as ``null`` is a value."""
EXACT: Final = 2**53
"""Below it floats hold whole numbers exactly."""
_QUIET: Final = {"spellcheck": "false", "autocomplete": "off"}


class JsonField(forms.CharField):
    """A field for a JSON value. ``{}`` and ``[]`` are values and ``NaN`` is none, unlike in Django's own field."""

    widget = forms.Textarea(attrs={"rows": 5, **_QUIET})

    def to_python(self, value: object) -> Any:
        text = super().to_python(value) or ""
        if not text.strip():
            return MISSING
        try:
            return parse(text)
        except ValueError as error:
            raise ValidationError(_("Not valid JSON: %(error)s") % {"error": error}) from error
        except RecursionError as error:
            raise ValidationError(_("Not valid JSON: nested too deeply")) from error

    def validate(self, value: object) -> None:
        if value is MISSING and self.required:
            raise ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: object) -> None:
        """Do nothing: a JSON value is no text, and the validators of texts don't apply."""


class TextField(forms.CharField):
    """A text as it was entered; browsers send the ends of its lines as ``\\r\\n``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strip=False, **options)

    def to_python(self, value: object) -> Any:
        return (super().to_python(value) or "").replace("\r\n", "\n")


class MomentField(TextField):
    """A time that is entered in the time zone of the site, and is a text with an offset from UTC."""

    def to_python(self, value: object) -> Any:
        text = super().to_python(value)
        try:
            entered = datetime.fromisoformat(text)
            is_complete = entered.tzinfo is not None
            moment = entered if is_complete else timezone.make_aware(entered, timezone.get_current_timezone())
            # What has no date-time's form is left to the check of the payload, which says how it is written.
            return text if is_complete or len(text) < len("2026-01-31T14:30") else moment.isoformat()
        except (ValueError, OverflowError):
            return text


class NumberField(forms.FloatField):
    """A number. One without a fraction is a whole number, which floats hold up to 2**53 only."""

    def to_python(self, value: object) -> Any:
        text = str(value or "").strip()
        if re.fullmatch(r"-?[0-9]{1,40}", text):
            return int(text)
        found = super().to_python(text)
        return int(found) if found is not None and found.is_integer() and abs(found) < EXACT else found

    def validate(self, value: object) -> None:
        # Django's own check turns the number into a float, which a large one does not fit.
        if isinstance(value, float):
            super().validate(value)
        else:
            forms.Field.validate(self, value)


class TickField(forms.Field):
    """Yes or no as a box to tick."""

    widget = forms.CheckboxInput

    def __init__(self, *, without_tick: object, **options: Any) -> None:
        """``without_tick`` is the value of a box without a tick: ``False``, or ``MISSING`` to leave it out."""
        super().__init__(**{**options, "required": False})
        self.without_tick = without_tick

    def to_python(self, value: object) -> object:
        return self.without_tick if value in (None, "") else value

    def clean(self, value: object) -> object:
        found = self.to_python(value)
        if found not in (True, False, MISSING):
            raise ValidationError(_("Choose yes or no."))
        return found


class TickInput(forms.CheckboxInput):
    """Gives a text that is neither yes nor no to the field, which refuses it."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        given = data.get(name)
        known = {"on": True, "true": True, "True": True, "false": False, "False": False}
        return known.get(given, given)


class LinesField(forms.CharField):
    """A list of texts or numbers, each on a line of its own. Empty lines count for nothing."""

    widget = forms.Textarea(attrs={"rows": 4, **_QUIET})

    def __init__(self, *, read: Callable[[str], object], complaint: str, **options: Any) -> None:
        super().__init__(strip=False, **options)
        self.read = read
        self.complaint = complaint

    def to_python(self, value: object) -> Any:
        lines = (super().to_python(value) or "").splitlines()
        found, errors = [], []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found.append(self.read(line))
            except ValueError:
                errors.append(_("Line %(n)s: %(reason)s") % {"n": number, "reason": self.complaint})
        if errors:
            raise ValidationError(errors)
        return found or MISSING

    def validate(self, value: object) -> None:
        """Do nothing: an empty list is one."""

    def run_validators(self, value: object) -> None:
        """Do nothing: a list is no text."""


class ChoicesField(forms.TypedMultipleChoiceField):
    """A list of some of the values that are allowed, each as a box to tick."""

    widget = forms.CheckboxSelectMultiple


class SecretInput(forms.PasswordInput):
    """Shows no value but the stars that stand for a hidden one, and asks browsers to remember none."""

    def __init__(self) -> None:
        super().__init__({"class": "vTextField", "autocomplete": "new-password", "spellcheck": "false"}, True)

    def get_context(self, name: str, value: object, attrs: dict[str, Any] | None) -> dict[str, Any]:
        return super().get_context(name, value if holds_mask(value) else None, attrs)


class SecretField(forms.CharField):
    """A hidden value. The stars stand for the value that it had."""

    widget = SecretInput

    def __init__(self, inner: forms.Field, **options: Any) -> None:
        super().__init__(strip=False, **options)
        self.inner = inner

    def clean(self, value: Any) -> Any:
        return value if value == MASKED else self.inner.clean(value)


class MomentInput(forms.DateTimeInput):
    """Lets a browser ask for a day and a time."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__({"class": "director-short", "step": "1"})


def typed_input(kind: str, **attributes: Any) -> forms.Widget:
    """Return an input of a kind that browsers know: ``date``, ``time``, ``email``, ``url``."""
    found = widgets.AdminTextInputWidget(attributes)
    found.input_type = kind
    if kind in ("date", "time"):
        found.attrs["class"] = "director-short"
    return found


def choice_field(values: Iterable[Any], *, has_none: bool, **options: Any) -> forms.Field:
    """Return a field that offers some JSON values, and nothing too if ``has_none``."""
    choices = choices_of(values)
    if has_none:
        choices.insert(0, ("", "-"))
    return forms.TypedChoiceField(choices=choices, coerce=json.loads, empty_value=MISSING, **options)


def choices_of(values: Iterable[Any]) -> list[tuple[str, str]]:
    """Return plain JSON values as the choices of a field: the JSON text of each, and what people read."""
    return [
        (json.dumps(value), formatting.name(value) if isinstance(value, str) else json.dumps(value))
        for value in values
    ]


def dump(value: object) -> str:
    """Return a value as the JSON that a person edits; a large one on one line, as indents could multiply it."""
    text = json.dumps(value, ensure_ascii=False)
    return escaped(text if len(text) > formatting.LARGE else json.dumps(value, indent=2, ensure_ascii=False))


WHOLE_NUMBER: Final = gettext_lazy("Enter a whole number.")
NUMBER: Final = gettext_lazy("Enter a number.")
