"""Says why a value does not fit its schema, in the words of JSON, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Final

from jsonschema.exceptions import ValidationError

from django_director.definitions.json_schema.keywords import MissingProperty
from django_director.masking.schemas import SchemaMask
from django_director.masking.values import MASKED, mask

MAX_MESSAGE: Final = 300
"""A message quotes the value; a large value would drown the reason."""
MAX_CHOICES: Final = 20
HIDDEN: Final = "it does not fit `{}` (its value is hidden)"
_QUOTE_NOTHING: Final = (
    "required",
    "uniqueItems",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
)
"""Keywords whose own messages name keys and indexes only."""

_TYPES: Final = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}


class Quotes:
    """The value that messages are about, with secrets masked."""

    def __init__(self, value: object, schema: object) -> None:
        self.value = value
        self.schema = schema

    @cached_property
    def masked(self) -> object:
        return mask(self.value, self.schema)

    @cached_property
    def schema_mask(self) -> SchemaMask:
        return SchemaMask(self.schema)

    def message(self, error: ValidationError) -> str:
        """Return what is wrong; without the value where that is a secret."""
        shown = self._at(error.absolute_path)
        if shown == MASKED and error.instance != MASKED:
            return HIDDEN.format(error.validator)
        word = _WORDS.get(str(error.validator))
        if error.validator in ("enum", "const"):
            return short(self._choices(error, written(shown)))
        if word is not None:
            return short(word(error, written(shown)))
        message, quoted = str(error.message), repr(error.instance)
        if error.validator not in _QUOTE_NOTHING and shown != error.instance and quoted not in message:
            return HIDDEN.format(error.validator)
        return short(message.replace(quoted, written(shown)))

    def hides_keys(self, error: ValidationError) -> bool:
        """Whether the value lies inside of one that is hidden as a whole, so that its keys are secret too."""
        return bool(error.absolute_path) and self._at(list(error.absolute_path)[:-1]) == MASKED

    def _choices(self, error: ValidationError, shown: str) -> str:
        """Return what an ``enum`` or a ``const`` allows, without the secrets among its values."""
        asked: Any = error.validator_value
        schema: Any = error.schema
        values = asked if error.validator == "enum" else [asked]
        masked = [self.schema_mask.value(schema, value) for value in values[:MAX_CHOICES]]
        choices = ", ".join(short(written(value)) for value in masked)
        if error.validator == "const":
            return f"{shown} is not {choices}"
        more = len(values) - len(masked)
        return f"{shown} is not one of {choices}" + (f" and {more:,} more" if more else "")

    def _at(self, path: Iterable[str | int]) -> object:
        found: Any = self.masked
        for key in path:
            if found == MASKED:
                break
            found = found[key]
        return found


def written(value: object) -> str:
    """Return the beginning of a value as JSON."""
    return json.dumps(value, ensure_ascii=False)


def short(message: str) -> str:
    """Return a message of at most ``MAX_MESSAGE`` characters, with its beginning and its end."""
    if len(message) <= MAX_MESSAGE:
        return message
    half = MAX_MESSAGE // 2
    return f"{message[:half]} … {message[-half:]}"


def plain(error: ValidationError) -> str:
    """Return the reason without any value. The name of a property that is missing stands in the schema."""
    if isinstance(error, MissingProperty):
        return short(str(error.message))
    return f"it does not fit `{error.validator}`" if error.validator else "nothing is allowed here"


def _type(error: ValidationError, shown: str) -> str:
    asked = error.validator_value
    names = [_TYPES.get(str(name), str(name)) for name in (asked if isinstance(asked, list) else [asked])]
    return f"{shown} is not {' or '.join(filter(None, [', '.join(names[:-1]), names[-1]]))}"


def _one_of(error: ValidationError, shown: str) -> str:
    return f"{shown} fits {'none' if error.context else 'more than one'} of the schemas of `oneOf`"


def _format(error: ValidationError, shown: str) -> str:
    return f"{shown} is not a usable {error.validator_value}: {error.cause}"


def _counted(bound: str, thing: str, things: str) -> Callable[[ValidationError, str], str]:
    def word(error: ValidationError, shown: str) -> str:
        number = error.validator_value
        return f"{shown} has {bound} than {number:,} {thing if number == 1 else things}"

    return word


_WORDS: Final[dict[str, Callable[[ValidationError, str], str]]] = {
    "None": lambda error, shown: f"{shown} is not allowed: nothing is",
    "type": _type,
    "pattern": lambda error, shown: f"{shown} does not match the pattern {short(str(error.validator_value))}",
    "format": _format,
    "multipleOf": lambda error, shown: f"{shown} is not a multiple of {error.validator_value}",
    "divisibleBy": lambda error, shown: f"{shown} is not a multiple of {error.validator_value}",
    "minLength": _counted("fewer", "character", "characters"),
    "maxLength": _counted("more", "character", "characters"),
    "minItems": _counted("fewer", "item", "items"),
    "maxItems": _counted("more", "item", "items"),
    "minProperties": _counted("fewer", "property", "properties"),
    "maxProperties": _counted("more", "property", "properties"),
    "anyOf": lambda error, shown: f"{shown} fits none of the schemas of `anyOf`",
    "oneOf": _one_of,
    "not": lambda error, shown: f"{shown} fits the schema of `not`",
    "contains": lambda error, shown: f"{shown} has no item that fits `contains`",
    "minContains": lambda error, shown: f"fewer than {error.validator_value:,} items fit `contains`",
    "maxContains": lambda error, shown: f"more than {error.validator_value:,} items fit `contains`",
    "items": lambda error, shown: f"{shown} has more items than it may have",
    "additionalItems": lambda error, shown: f"{shown} has more items than it may have",
}
