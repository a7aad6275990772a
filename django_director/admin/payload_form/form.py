"""The form for a payload: its fields, what was entered in them, and all that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django import forms
from django.contrib.admin import widgets
from django.core.exceptions import NON_FIELD_ERRORS
from django.forms.utils import ErrorDict
from django.http import QueryDict
from django.utils.translation import gettext as _

from django_director.definitions.payloads import PayloadError, errors_of, with_defaults
from django_director.exceptions import InvalidPayload
from django_director.masking.schemas import mask_schema
from django_director.masking.values import MASKED, mask
from django_director.models import COMMENT_LENGTH

from .builder import MAX_ROWS, Builder, field_key
from .fields import MISSING, JsonField, SecretField, dump
from .parts import ADD, REMOVE, Group, Leaf, Part, Rows
from .wording import explain

WHOLE: Final = "payload"
COMMENT: Final = "comment"
SEPARATOR: Final = " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "

__all__ = ["COMMENT", "PayloadForm", "field_key"]


class PayloadForm(forms.Form):
    """Asks for a payload and a comment; once the form is valid, ``payload`` holds what the user has entered."""

    def __init__(
        self, schema: Any, data: QueryDict | None = None, given: object = MISSING, real: object = MISSING
    ) -> None:
        """Begin with the payload ``given``, or else with the defaults of ``schema``.

        ``given`` has its secrets hidden, and ``real`` is the same payload with them: a secret that the user leaves
        alone is taken from there. Without ``real`` the stars in ``given`` stand for nothing.
        """
        self.schema = schema
        sent, self.is_changing_rows = _with_changed_rows(data)
        super().__init__(sent, label_suffix="")
        if given is MISSING:
            real = _defaults(schema)
            given = mask(real, schema)
        shown = mask_schema(schema)
        is_whole = WHOLE in (sent or {})
        tree = None if is_whole else Builder(self, shown, sent).root(shown, real, given)
        self.root: Part = tree or self._whole(real, given)
        self.fields[COMMENT] = forms.CharField(
            label=_("Comment"),
            max_length=COMMENT_LENGTH,
            required=False,
            widget=widgets.AdminTextInputWidget,
            help_text=_("Shown with the run."),
        )

    def _whole(self, real: object, given: object) -> Leaf:
        """Return the field for a payload that is entered as JSON."""
        help_text = _("A JSON value; without one the payload is {}.")
        self.fields[WHOLE] = JsonField(
            label=_("Payload"), help_text=help_text, initial=dump(given), required=False
        )
        return Leaf(form=self, key=WHOLE, label=_("Payload"), real=real, shown=given, empty={})

    @property
    def payload(self) -> Any:
        """What the user has entered. It is ``{}`` if that is nothing."""
        found = self.root.read()
        return {} if found is MISSING else found

    @property
    def has_secrets(self) -> bool:
        """Whether a secret was entered, which the form does not show again."""
        return any(
            isinstance(field, SecretField) and self.data.get(name) not in (None, "", MASKED)
            for name, field in self.fields.items()
        )

    def full_clean(self) -> None:
        """Check what was entered. While the user adds a row, or takes one away, nothing is wrong yet."""
        if self.is_changing_rows:
            self._errors = ErrorDict()
            self.cleaned_data = {}
        else:
            super().full_clean()

    def is_valid(self) -> bool:
        return not self.is_changing_rows and super().is_valid()

    def clean(self) -> dict[str, Any]:
        """Check the payload too, as far as its fields could be read: all that is wrong is told at once."""
        told = set(self.errors)
        for error in [] if self.schema is None else errors_of(self.schema, self.payload):
            self._tell(error, told)
        return self.cleaned_data

    def _tell(self, error: PayloadError, told: set[str]) -> None:
        """Show an error beside its field, unless something else is wrong with that already."""
        keys = error.keys if error.missing is None else (*error.keys, error.missing)
        part, inside = self.root.find(keys)
        if part.key in told:
            return
        text = explain(error)
        if error.missing is not None and not inside:
            text = str(forms.Field.default_error_messages["required"])
        if isinstance(part, Leaf):
            place = part.place_in(error.keys[len(keys) - len(inside) :], error.path)
        else:
            place = part.label if isinstance(part, Group) else ""
        text = _("%(place)s: %(error)s") % {"place": place, "error": text} if place else text
        self.add_error(None if isinstance(part, Group) else part.key, text)

    def show(self, error: InvalidPayload) -> None:
        """Show each reason for a later error beside its field; one that concerns no field stands on top."""
        names = self.root.named if isinstance(self.root, Group) else {}
        for reason in error.errors:
            path, message = str(reason["path"]), str(reason["message"])
            part = names.get(_first_name(path, names), self.root)
            says_nothing = path in ("", "$")
            text = message if says_nothing else f"{path}: {message}"
            self.add_error(part.key if isinstance(part, Leaf) else None, text)

    @property
    def comment_part(self) -> Leaf:
        """The part of the form that is no part of the payload."""
        label = str(self.fields[COMMENT].label)
        return Leaf(form=self, key=COMMENT, label=label, real=MISSING, shown=MISSING)

    @property
    def error_count(self) -> int:
        """How many errors there are."""
        return sum(map(len, self.errors.values()))

    def summary(self) -> Iterator[tuple[str, str, str]]:
        """Yield in the form's order, for each error beside a field: the field's id, its label, and the error."""
        parts = {part.key: (SEPARATOR.join(path), part) for path, part in self.root.leaves()}
        places = {key: number for number, key in enumerate(parts)}
        for name, errors in sorted(self.errors.items(), key=lambda error: places.get(error[0], len(places))):
            if name == NON_FIELD_ERRORS:
                continue
            label, part = parts.get(name, (str(self.fields[name].label), None))
            id_ = name if isinstance(part, Rows) else self[name].id_for_label or f"{self[name].auto_id}_label"
            yield from ((id_, label, str(error)) for error in errors)


def _defaults(schema: Any) -> Any:
    """Return the payload with which the form begins: what a run would have that is given nothing."""
    given = schema.get("default", {}) if isinstance(schema, dict) else {}
    return with_defaults(schema, given)


def _first_name(path: str, names: Mapping[str, Part]) -> str:
    """Return the property with which a JSON path begins: the longest that fits, as names may contain any sign."""
    fitting = [name for name in names if path.startswith((f"$.{name}", f"$['{name}']", f'$["{name}"]'))]
    return max(fitting, key=len, default="")


def _with_changed_rows(data: QueryDict | None) -> tuple[QueryDict | None, bool]:
    """Return what was sent after a row was added or taken away, and whether the user has asked for that."""
    if data is None or not (ADD in data or REMOVE in data):
        return data, False
    changed = data.copy()
    if (key := str(data.get(ADD, ""))).startswith("rows-"):
        numbers = changed.getlist(key)
        known = [int(text) for text in numbers if text.isascii() and text.isdecimal() and len(text) < 6]
        if len(numbers) < MAX_ROWS:
            changed.appendlist(key, str(max(known, default=-1) + 1))
    key, _colon, number = str(data.get(REMOVE, "")).partition(":")
    if key:
        changed.setlist(key, [text for text in changed.getlist(key) if text != number])
    return changed, True
