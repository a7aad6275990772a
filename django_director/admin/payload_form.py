"""A form for a payload, made from the workflow's JSON Schema.

Flat properties of simple types get a field each, all others a box for JSON. The operation that starts the run
checks what the fields can't check; the form shows its errors beside the fields that they are about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypedDict, Unpack

from django import forms
from django.contrib.admin import widgets
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from django_director.common.json_values import parse
from django_director.common.texts import escaped
from django_director.drawing.picture import shorten
from django_director.exceptions import InvalidPayload
from django_director.masking.schemas import mask_schema
from django_director.masking.values import MASKED, holds_mask, is_secret_key, restore
from django_director.models import COMMENT_LENGTH

from . import formatting

WHOLE: Final = "payload"
COMMENT: Final = "comment"
LABEL_LENGTH: Final = 80
HELP_LENGTH: Final = 500
MISSING: Final[Any] = object()


def field_key(name: str) -> str:
    """Return the name of a property's field: plain letters, whatever characters the property's name contains."""
    return f"property-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


class FieldOptions(TypedDict, total=False):
    """The options that all fields of the form take."""

    label: str
    help_text: str
    required: bool
    widget: forms.Widget | type[forms.Widget]


class JsonField(forms.CharField):
    """A field for a JSON value. ``{}`` and ``[]`` are values and ``NaN`` is none, unlike in Django's own field."""

    widget = forms.Textarea(attrs={"rows": 5, "spellcheck": "false", "autocomplete": "off"})

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


class SecretInput(forms.PasswordInput):
    """Shows no value but the stars that stand for a hidden one, and asks browsers to remember none."""

    def __init__(self) -> None:
        super().__init__({"class": "vTextField", "autocomplete": "new-password", "spellcheck": "false"}, True)

    def get_context(self, name: str, value: object, attrs: dict[str, Any] | None) -> dict[str, Any]:
        return super().get_context(name, value if holds_mask(value) else None, attrs)


class PayloadForm(forms.Form):
    """Asks for a payload and a comment; once the form is valid, ``payload`` holds what the user has entered."""

    def __init__(self, schema: object, data: Mapping[str, Any] | None = None, given: object = MISSING) -> None:
        """Begin with the payload ``given``, or else with the defaults of ``schema``."""
        super().__init__(data)
        # The form hides the defaults of secret properties; one that the user leaves alone is taken as it is.
        shown = mask_schema(schema)
        self.properties = dict(_properties(shown))
        self._defaults = {} if given is not MISSING else _defaults_of(schema)
        self._shown = _defaults_of(shown)
        for name, rule in self.properties.items():
            required = isinstance(schema, dict) and name in schema.get("required", ())
            self.fields[field_key(name)] = _field(name, rule, required=required)
        if given is not MISSING and not self._fill(given):
            # The fields would lose a part of it: one box shows it as a whole.
            self.properties = {}
            self.fields.clear()
        if not self.properties:
            self.fields[WHOLE] = JsonField(
                label=_("Payload"),
                help_text=_("A JSON value; without one the payload is {}."),
                initial=_dump(_default(shown) if given is MISSING else given),
                required=False,
            )
        self.fields[COMMENT] = forms.CharField(
            label=_("Comment"),
            max_length=COMMENT_LENGTH,
            required=False,
            widget=widgets.AdminTextInputWidget,
            help_text=_("Shown with the run."),
        )

    def _fill(self, given: object) -> bool:
        """Let each field begin with its value in ``given``; return whether the fields can show all of it."""
        if not isinstance(given, dict) or not given.keys() <= self.properties.keys():
            return False
        fields = {name: self.fields[field_key(name)] for name in self.properties}
        for name, field in fields.items():
            field.initial = _initial_value(field, given[name]) if name in given else None
        return all(fields[name].initial is not MISSING for name in given)

    @property
    def payload(self) -> object:
        if not self.properties:
            value = self.cleaned_data[WHOLE]
            return {} if value is MISSING else self._restore_hidden(WHOLE, value)
        entered = ((name, self._read_entry(field_key(name))) for name in self.properties)
        return {name: self._restore_hidden(name, value) for name, value in entered if value is not MISSING}

    def _restore_hidden(self, name: str, value: object) -> object:
        """Return an entered value with the hidden parts of the default that the user has left alone."""
        if name not in self._defaults:
            return value
        return restore(value, self._defaults[name], self._shown[name])

    def _read_entry(self, key: str) -> object:
        """Return what a field holds, or ``MISSING`` for an empty field, whose property the payload leaves out.

        A ``null`` that the user has chosen is a value.
        """
        value = self.cleaned_data[key]
        if isinstance(self.fields[key], JsonField | forms.TypedChoiceField):
            return value
        return MISSING if value is None or value == "" else _as_integer(value)

    def show(self, error: InvalidPayload) -> None:
        """Show each reason for an error beside its field; a reason that concerns no field stands on top."""
        keys = {name: field_key(name) for name in self.properties}
        for reason in error.errors:
            path, message = str(reason["path"]), str(reason["message"])
            name = _first_name(path, keys)
            field = keys[name] if name else WHOLE if WHOLE in self.fields else None
            says_nothing = path in ("", "$", f"$.{name}")
            self.add_error(field, message if says_nothing else f"{path}: {message}")


def _initial_value(field: forms.Field, value: object) -> object:
    """Return a value as its field shows it; ``MISSING`` if the field can't show it."""
    if isinstance(field, JsonField):
        return _dump(value)
    if isinstance(field, forms.TypedChoiceField):
        text = json.dumps(value)
        return text if field.valid_value(text) else MISSING
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = is_number if isinstance(field, forms.IntegerField) else isinstance(value, str) and value != ""
    return value if fits else MISSING


def _properties(schema: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the properties that get a field each: none unless the schema describes a plain object."""
    if not isinstance(schema, dict) or schema.get("type") != "object" or not _is_plain(schema):
        return
    for name, rule in schema.get("properties", {}).items():
        yield str(name), rule if isinstance(rule, dict) else {}


def _is_plain(schema: dict[str, Any]) -> bool:
    """Whether the schema describes no other properties than those that it lists."""
    if any(schema.get(key) for key in ("patternProperties", "$ref", "allOf", "anyOf", "oneOf")):
        return False
    known = schema.get("properties", {})
    return set(schema.get("required", ())) <= set(known) and not isinstance(
        schema.get("additionalProperties"), dict
    )


def _default(schema: object) -> object:
    return schema.get("default", {}) if isinstance(schema, dict) else {}


def _defaults_of(schema: object) -> dict[str, Any]:
    """Return the default of each property that gets a field, or of the payload as a whole."""
    properties = dict(_properties(schema))
    if not properties:
        return {WHOLE: _default(schema)}
    return {name: rule["default"] for name, rule in properties.items() if "default" in rule}


def _field(name: str, rule: Mapping[str, Any], *, required: bool) -> forms.Field:
    initial = rule.get("default", MISSING)
    if initial == MASKED and rule.get("type") != "string":
        # The mask is neither a number nor JSON. The field begins empty; if it stays so, the default is taken.
        initial = MISSING
    common: FieldOptions = {
        "label": shorten(str(rule.get("title") or name), LABEL_LENGTH),
        "help_text": _help(name, rule),
        "required": required and "default" not in rule,
    }
    choices = _choices(rule)
    if choices is not None:
        return _choice_field(choices, initial, common)
    simple = _SIMPLE.get(str(rule.get("type")))
    if _is_secret(name, rule) and (simple is not None or "type" not in rule):
        common["widget"] = SecretInput()
    if simple is None or (initial is not MISSING and isinstance(initial, dict | list)):
        return JsonField(initial=None if initial is MISSING else _dump(initial), **common)
    return simple(initial=None if initial is MISSING else initial, **common)


def _is_secret(name: str, rule: Mapping[str, Any]) -> bool:
    return is_secret_key(name) or rule.get("writeOnly") is True or rule.get("format") == "password"


def _help(name: str, rule: Mapping[str, Any]) -> str:
    parts = [str(rule.get("description", "")), name if rule.get("title") else "", _bounds(rule)]
    return shorten(" · ".join(part for part in parts if part), HELP_LENGTH)


def _bounds(rule: Mapping[str, Any]) -> str:
    """Return the limits of a property, which people want to know before they enter a value."""
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {rule[key]}" for key, sign in words.items() if key in rule]
    if rule.get("format"):
        limits.append(str(rule["format"]))
    if rule.get("type") not in _SIMPLE and _choices(rule) is None:
        limits.append("JSON")
    return ", ".join(limits)


def _choices(rule: Mapping[str, Any]) -> list[Any] | None:
    values = rule.get("enum")
    if isinstance(values, list) and values and not any(isinstance(value, dict | list) for value in values):
        return values
    return [True, False] if rule.get("type") == "boolean" else None


def _choice_field(values: list[Any], initial: object, common: FieldOptions) -> forms.Field:
    choices = [(json.dumps(value), value if isinstance(value, str) else json.dumps(value)) for value in values]
    if not common["required"] or initial is MISSING:
        choices.insert(0, ("", "-"))
    return forms.TypedChoiceField(
        choices=choices,
        coerce=json.loads,
        empty_value=MISSING,
        initial=None if initial is MISSING else json.dumps(initial),
        **common,
    )


def _text(initial: object, **options: Unpack[FieldOptions]) -> forms.Field:
    options.setdefault("widget", widgets.AdminTextInputWidget)
    return forms.CharField(strip=False, initial=initial, **options)


def _integer(initial: object, **options: Unpack[FieldOptions]) -> forms.Field:
    options.setdefault("widget", widgets.AdminIntegerFieldWidget)
    return forms.IntegerField(initial=initial, **options)


def _decimal(initial: object, **options: Unpack[FieldOptions]) -> forms.Field:
    options.setdefault("widget", forms.NumberInput(attrs={"step": "any"}))
    return forms.FloatField(initial=initial, **options)


_SIMPLE: Final = {"string": _text, "integer": _integer, "number": _decimal}


def _as_integer(value: object) -> object:
    """Return a float without a fraction as an integer, as long as floats are exact; other values unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _first_name(path: str, names: Mapping[str, str]) -> str:
    """Return the property with which a JSON path begins: the longest that fits, as names may contain any sign."""
    fitting = [name for name in names if path.startswith((f"$.{name}", f"$['{name}']", f'$["{name}"]'))]
    return max(fitting, key=len, default="")


def _dump(value: object) -> str:
    """Return a value as the JSON that a person edits; a large one on one line, as indents could multiply it."""
    text = json.dumps(value, ensure_ascii=False)
    return escaped(text if len(text) > formatting.LARGE else json.dumps(value, indent=2, ensure_ascii=False))
