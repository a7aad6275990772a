"""Says in plain words what is wrong with an entered value, without the words of JSON Schema."""

from __future__ import annotations

from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_director.definitions.payloads import PayloadError

Text = str | Promise

_TYPES: Final[dict[str, Text]] = {
    "integer": gettext_lazy("Enter a whole number."),
    "number": gettext_lazy("Enter a number."),
    "string": gettext_lazy("Enter a text."),
    "boolean": gettext_lazy("Choose yes or no."),
    "array": gettext_lazy("Enter a list."),
    "object": gettext_lazy("Enter an object: names with values."),
}
_FORMATS: Final[dict[str, Text]] = {
    "date": gettext_lazy("Enter a day, such as 2026-01-31."),
    "date-time": gettext_lazy("Enter a day and a time, such as 2026-01-31T14:30:00+01:00."),
    "time": gettext_lazy("Enter a time of day, such as 14:30."),
    "email": gettext_lazy("Enter an e-mail address, such as name@example.com."),
    "uri": gettext_lazy("Enter an address, such as https://example.com/page."),
    "url": gettext_lazy("Enter an address, such as https://example.com/page."),
}
_LIMITS: Final[dict[str, Text]] = {
    "minimum": gettext_lazy("It must be %(limit)s or more."),
    "exclusiveMinimum": gettext_lazy("It must be more than %(limit)s."),
    "maximum": gettext_lazy("It must be %(limit)s or less."),
    "exclusiveMaximum": gettext_lazy("It must be less than %(limit)s."),
    "multipleOf": gettext_lazy("It must be a multiple of %(limit)s."),
    "pattern": gettext_lazy("It must match the pattern %(limit)s"),
}
_OTHERS: Final[dict[str, Text]] = {
    "enum": gettext_lazy("This is none of the values that are allowed."),
    "const": gettext_lazy("This is none of the values that are allowed."),
    "uniqueItems": gettext_lazy("The same entry stands here twice."),
    "additionalProperties": gettext_lazy("There is a name that is not known here."),
    "unevaluatedProperties": gettext_lazy("There is a name that is not known here."),
    "anyOf": gettext_lazy("This fits none of the forms that are allowed."),
    "oneOf": gettext_lazy("This must fit exactly one of the forms that are allowed."),
    "not": gettext_lazy("This value is not allowed."),
    "contains": gettext_lazy("An entry that must be here is missing."),
    "dependentRequired": gettext_lazy("What is entered here needs a further field that is empty."),
    "dependencies": gettext_lazy("What is entered here needs a further field that is empty."),
}

_NAMING: Final = ("additionalProperties", "unevaluatedProperties")
"""The keywords whose own messages list the names that are not known."""


def explain(error: PayloadError) -> str:
    """Return what a person is told of an error. It quotes no entered value, and no secret of the schema."""
    if error.missing is not None:
        return _("“%(name)s” is missing.") % {"name": error.missing}
    keyword, limit = error.keyword, error.limit
    if keyword == "type":
        return _asked_type(limit)
    if keyword == "format":
        return str(_FORMATS.get(str(limit), _("It does not have the form that is asked for.")))
    if keyword in _LIMITS:
        return str(_LIMITS[keyword]) % {"limit": limit}
    if isinstance(limit, int) and (counted := _counted(keyword, limit)):
        return counted % {"n": limit}
    if keyword in _OTHERS:
        return str(_OTHERS[keyword])
    return (
        _("It is not as the workflow asks for it (“%(rule)s”).") % {"rule": keyword} if keyword else error.message
    )


def explain_stored(error: PayloadError) -> str:
    """Return what a person who may see a stored payload is told of an error in it, with its place in the payload.

    It quotes names, but no value.
    """
    text = error.message if error.keyword in _NAMING else explain(error)
    return text if error.path == "$" else f"{error.path}: {text}"


def _asked_type(limit: Any) -> str:
    names = [str(name) for name in (limit if isinstance(limit, list) else [limit])]
    known = [str(_TYPES[name]) for name in names if name in _TYPES]
    if len(known) == 1:
        return known[0]
    return _("It must be one of these types: %(types)s") % {"types": ", ".join(names)}


def _counted(keyword: str, limit: int) -> str:
    match keyword:
        case "minLength":
            return ngettext("Enter at least %(n)s character.", "Enter at least %(n)s characters.", limit)
        case "maxLength":
            return ngettext("Enter at most %(n)s character.", "Enter at most %(n)s characters.", limit)
        case "minItems":
            return ngettext("At least %(n)s entry is needed.", "At least %(n)s entries are needed.", limit)
        case "maxItems":
            return ngettext("At most %(n)s entry is allowed.", "At most %(n)s entries are allowed.", limit)
        case "minProperties":
            return ngettext("Fill in at least %(n)s field.", "Fill in at least %(n)s fields.", limit)
        case "maxProperties":
            return ngettext("Fill in at most %(n)s field.", "Fill in at most %(n)s fields.", limit)
    return ""
