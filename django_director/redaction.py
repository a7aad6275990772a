"""Keep the secrets of a run out of what its tasks say: errors, tracebacks, log lines, progress.

Texts are cleaned when they are written, by the worker: it has the payload in hand. A reader has not, for lists
never load payloads; and what is stored, logged or backed up as it was said can't be taken back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any, Final
from urllib.parse import quote, quote_plus

from .masking import MASKED, hidden_in, mask, mask_urls

SHORTEST: Final = 3
"""Characters. A shorter secret stands in every text."""
WHOLE_WORD: Final = 8
"""Characters. A shorter secret is replaced only where no letter or digit stands beside it."""
MOST: Final = 10_000
"""How many secrets of one payload are looked for."""
RUNS_KEPT: Final = 32


class Redactor:
    """Replaces the secrets of a run's payload in texts; the payload is looked at for the first text only."""

    def __init__(self, payload: Any, schema: Any, run: Hashable) -> None:
        self._payload = payload
        self._schema = schema
        self._run = run
        self._more: list[str] = []

    def add(self, value: Any) -> None:
        """Replace a further value too: what a step's own arguments hold under a secret key."""
        self._more += _all_spellings([value])

    def text(self, text: str) -> str:
        """The text with ``********`` in place of each secret, and of passwords in addresses."""
        for secret in (*self._spellings, *self._more):
            if secret in text:
                text = _replaced(text, secret)
        return mask_urls(text)

    def value(self, value: Any) -> Any:
        """A JSON value as ``mask`` shows it, its texts cleaned too."""
        return self._cleaned(mask(value))

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self._cleaned(item) for key, item in value.items()}
        return [self._cleaned(item) for item in value] if isinstance(value, list) else value

    @cached_property
    def _spellings(self) -> list[str]:
        known = _known.get(self._run)
        if known is None:
            known = _all_spellings(hidden_in(self._payload, self._schema))
            _known[self._run] = known
            while len(_known) > RUNS_KEPT:
                _known.pop(next(iter(_known)), None)
        return known


#: By run: a payload does not change, and the tasks of one run mostly come to a worker together.
_known: dict[Hashable, list[str]] = {}


def _all_spellings(hidden: list[Any]) -> list[str]:
    """The secrets as they may stand in a text, the longest first: one may be part of another."""
    secrets = set(islice(_leaves(hidden), MOST))
    found = {spelling for secret in secrets for spelling in _spellings(secret)}
    return sorted((spelling for spelling in found if len(spelling) >= SHORTEST), key=len, reverse=True)


def _leaves(hidden: list[Any]) -> Iterator[str]:
    """The texts and numbers of what is hidden. Without recursion: what lies too deep to be shown is hidden too."""
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
    """A secret as it is, as Python, JSON and addresses spell it, and each of its lines."""
    yield secret
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    # Half of a surrogate pair is no character of an address.
    encodable = secret.encode(errors="replace")
    yield quote(encodable)
    yield quote(encodable, safe="")
    yield quote_plus(encodable)
    if "\n" in secret:
        yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= WHOLE_WORD)


def _replaced(text: str, secret: str) -> str:
    if len(secret) >= WHOLE_WORD:
        return text.replace(secret, MASKED)
    return re.sub(rf"(?<![^\W_]){re.escape(secret)}(?![^\W_])", MASKED, text)
