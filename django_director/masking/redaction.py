"""Keeps the secrets of a run out of the texts of its tasks: errors, tracebacks, log lines, progress.

The worker removes secrets from a text before it writes it, because it has the run's payload. A page that shows a
list of runs never loads payloads. And a text that is stored, logged or backed up with a secret can't be taken
back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any, Final
from urllib.parse import quote, quote_plus

from yaml.emitter import Emitter

from django_director.exceptions import ExpressionError

from .values import MASKED, hidden_in, mask, mask_urls

SHORTEST: Final = 3
"""How many characters a secret must have to be replaced: a shorter one would be found in every text."""
WHOLE_WORD: Final = 8
"""A secret with fewer characters is replaced only where no letter or digit stands beside it."""
MOST: Final = 10_000
"""How many secrets of one payload are looked for at most."""
RUNS_KEPT: Final = 32
_QUOTES: Final = "'\""
_ESCAPED_IN_YAML: Final = (
    re.compile(r"[^ -~]|[\"\\]"),
    re.compile(r"[^ -~\xa0-\ud7ff\ue000-\ufffd]|[\"\\]"),
)
"""The characters that PyYAML escapes between double quotes: in ASCII, and with ``allow_unicode``."""


class Redactor:
    """Replaces the secrets of a run's payload in texts; it collects the secrets when it gets the first text."""

    def __init__(self, read_payload: Callable[[], object], schema: object, run: Hashable | None) -> None:
        """``read_payload`` returns the run's payload, and ``schema`` is the JSON Schema for it.

        It is called when the first text comes. If it raises ``LookupError`` nobody knows what is secret, and
        ``********`` stands in place of each whole text. The secrets are kept under the id ``run`` for the next
        tasks of that run, unless it is ``None``.
        """
        self._read_payload = read_payload
        self._schema = schema
        self._run = run
        self._more: list[str] = []

    def add(self, value: object) -> None:
        """Replace a further secret from now on: a value that a step's own arguments have under a secret key."""
        self._more += _all_spellings([value])

    def text(self, text: str) -> str:
        """Return the text with ``********`` in place of each secret, and of passwords in addresses."""
        if (spellings := self._spellings) is None:
            return MASKED
        for secret in (*spellings, *self._more):
            if secret in text:
                text = _replaced(text, secret)
        return mask_urls(text)

    def value(self, value: object) -> object:
        """Return a copy of a JSON value in which ``mask`` and ``text`` have replaced all secrets."""
        return self._cleaned(mask(value))

    def _cleaned(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self._cleaned(item) for key, item in value.items()}
        return [self._cleaned(item) for item in value] if isinstance(value, list) else value

    @cached_property
    def _spellings(self) -> list[str] | None:
        known = None if self._run is None else _known.get(self._run)
        if known is None:
            try:
                known = _all_spellings(hidden_in(self._read_payload(), self._schema))
            except LookupError:
                return None
            if self._run is not None:
                _known[self._run] = known
            while len(_known) > RUNS_KEPT:
                _known.pop(next(iter(_known)), None)
        return known


def shown_error(error: ExpressionError, veiled: Callable[[], Any], texts: Redactor) -> str:
    """Return the reason why an expression fails, as a text for readers who may not see secrets.

    ``veiled`` evaluates the expression again with masked data. If it fails with the same message, the message
    contains no secret. Else the reason is left out, because it may quote a secret or a value made from one.
    """
    try:
        veiled()
    except ExpressionError as other:
        if str(other) == str(error):
            return texts.text(str(error))
    return error.plain


#: The spellings of secrets, by run: a payload does not change, and the tasks of one run often come to one worker.
_known: dict[Hashable, list[str]] = {}


def _all_spellings(hidden: list[object]) -> list[str]:
    """Return the secrets in all spellings, the longest first: one may be a part of another."""
    secrets = set(islice(_leaves(hidden), MOST))
    found = {spelling for secret in secrets for spelling in _spellings(secret)}
    return sorted((spelling for spelling in found if len(spelling) >= SHORTEST), key=len, reverse=True)


def _leaves(hidden: list[object]) -> Iterator[str]:
    """Yield the texts and numbers in hidden values.

    It does not recurse: among the hidden values are those that are nested too deeply to be shown.
    """
    left = list(hidden)
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            yield str(value)


def _spellings(secret: str) -> Iterator[str]:
    """Yield a secret as it is, as Python, JSON, YAML and addresses spell it, and each of its lines."""
    yield secret
    # An address can't hold half of a surrogate pair.
    encodable = secret.encode(errors="replace")
    for spell in (repr, ascii):
        yield spell(secret)[1:-1]
        # The spelling inside a text that has quotes of both kinds.
        yield spell(_QUOTES + secret)[len(_QUOTES) + 2 : -1]
    yield repr(encodable)[2:-1]
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    for escaped in _ESCAPED_IN_YAML:
        yield escaped.sub(_yaml_escape, secret)
    yield secret.replace("'", "''")
    yield quote(encodable)
    yield quote(encodable, safe="")
    yield quote_plus(encodable)
    if "\n" in secret:
        yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= WHOLE_WORD)


def _yaml_escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in Emitter.ESCAPE_REPLACEMENTS:
        return f"\\{Emitter.ESCAPE_REPLACEMENTS[character]}"
    number = ord(character)
    return f"\\x{number:02X}" if number <= 0xFF else f"\\u{number:04X}" if number <= 0xFFFF else f"\\U{number:08X}"


def _replaced(text: str, secret: str) -> str:
    if len(secret) >= WHOLE_WORD:
        return text.replace(secret, MASKED)
    return re.sub(rf"(?<![^\W_]){re.escape(secret)}(?![^\W_])", MASKED, text)
