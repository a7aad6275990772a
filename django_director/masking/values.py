"""Hides secrets in JSON values before people and clients are shown them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from django_director.common.patterns import BadPattern, PatternTooSlow, compile_pattern, search
from django_director.conf import SECRET_KEYS, director
from django_director.exceptions import InvalidPayload, InvalidSettings

from .secret_places import Place, Places

MASKED: Final = "********"
MAX_DEPTH: Final = 64
"""A value that is nested deeper is hidden: so a hostile payload can't exhaust the stack."""

SHORT_KEY: Final = 200
"""The answer for a key with more characters is not remembered: it will hardly be asked for again."""
KEYS_KNOWN: Final = 65_536
"""For how many keys the answer is remembered: more than a usual payload has. A page masks it several times."""
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^\s/?#:@]*):([^\s/?#]+)@")
"""The user and password of an address; the password may contain an ``@`` that should have been escaped."""
_IN_URL: Final = f":{MASKED}@"
NAMES: Final = ("name", "key", "Name", "Key")
"""The keys that hold the name of a ``value`` beside them, as in lists of settings of containers."""
VALUES: Final = ("value", "Value")
EXAMPLES: Final = ("default", "const", "enum", "examples", "example")
"""The keywords of a JSON Schema that hold values."""


def mask(value: object, schema: object = None) -> Any:
    """Return a copy of a JSON value with ``********`` in place of secrets.

    Secrets are values under a key that matches ``DIRECTOR["MASK"]`` (an expression, or a list of them); a
    ``value`` beside a ``name`` that matches it; the password in an address (``scheme://user:password@host``); and
    values that are ``writeOnly`` or passwords by ``schema``, a JSON Schema. ``None`` is never replaced.
    """
    masker = Masker(secret_keys(), Places(schema))
    return masker.whole(value)


def hidden_in(value: object, schema: object = None) -> list[Any]:
    """Return the values in a JSON value that ``mask`` would hide."""
    masker = Masker(secret_keys(), Places(schema))
    masker.whole(value)
    return masker.hidden


def mask_urls(text: str) -> str:
    """Return the text with ``********`` in place of the passwords of addresses."""
    return _URL_PASSWORD.sub(rf"\1{_IN_URL}", text) if "://" in text else text


def is_secret_key(key: str) -> bool:
    """Whether values under this key are hidden."""
    return secret_keys().is_secret(key)


def restore(entered: object, original: object, shown: Any) -> object:
    """Return a value that a person has ``entered`` with the hidden secrets put back.

    The person was ``shown`` a masked copy of ``original``, and may have left some of the masks. A mask stays if
    its place in ``original`` can't be told, as in a list that has become longer; see ``holds_mask``.
    """
    if isinstance(entered, str) and entered == shown and holds_mask(shown):
        return original
    if isinstance(entered, dict) and isinstance(original, dict) and isinstance(shown, dict):
        return {
            key: restore(value, original[key], shown[key]) if key in original else value
            for key, value in entered.items()
        }
    if isinstance(entered, list) and isinstance(original, list) and len(entered) == len(original):
        return [restore(*values) for values in zip(entered, original, shown, strict=True)]
    return entered


def holds_mask(value: object) -> bool:
    """Whether a JSON value contains ``********`` as a value, or as the password of an address."""
    return any(text == MASKED or _IN_URL in text for text in _texts(value))


def _texts(value: object) -> Iterator[str]:
    """Yield the texts in a JSON value. It does not recurse: the value may be nested too deeply for that."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict | list):
            left += part.values() if isinstance(part, dict) else part


def refuse_mask(payload: object, schema: object) -> None:
    """Raise ``InvalidPayload`` if ``********`` stands in place of a secret, as in a payload copied from a page."""
    if holds_mask(payload) and (
        holds_mask(hidden_in(payload, schema)) or any(_IN_URL in text for text in _texts(payload))
    ):
        text = f"{MASKED} stands for a value that is hidden: give the value itself"
        raise InvalidPayload([{"path": "$", "message": text}])


class Masker:
    """Makes masked copies of JSON values, and keeps the values that it has hidden."""

    def __init__(self, keys: Keys, places: Places) -> None:
        self.keys = keys
        self.places = places
        self.hidden: list[Any] = []

    def whole(self, value: object) -> object:
        """Return a masked copy of the value for which the whole schema is."""
        return self._child(value, self.places.root, -1)

    def masked(self, value: object, place: Place | None, depth: int) -> object:
        """Return a masked copy of a value at ``place``, which is nested ``depth`` levels deep.

        If the place itself is secret, the caller hides the value.
        """
        if isinstance(value, str):
            return self._text(value)
        if not isinstance(value, dict | list | tuple):
            return value
        if depth >= MAX_DEPTH:
            return self._hide(value)
        if isinstance(value, dict):
            secret = VALUES if self._names_a_secret(value) else ()
            return {
                key: self._hide(item)
                if item is not None and key in secret
                else self._member(str(key), item, place, depth)
                for key, item in value.items()
            }
        if place is None:
            return [self.masked(item, None, depth + 1) for item in value]
        return [self._child(item, self.places.of_item(place, index), depth) for index, item in enumerate(value)]

    def _member(self, key: str, value: object, place: Place | None, depth: int) -> object:
        if value is not None and self.keys.is_secret(key):
            return self._hide(value)
        return self._child(value, None if place is None else self.places.of_key(place, key), depth)

    def _child(self, value: object, place: Place | None, depth: int) -> object:
        if value is not None and place is not None and place.is_secret:
            if place.has_secret_names and isinstance(value, dict):
                self.hidden += value
            return self._hide(value)
        return self.masked(value, place, depth + 1)

    def _hide(self, value: object) -> str:
        self.hidden.append(value)
        return MASKED

    def _text(self, value: str) -> str:
        masked = mask_urls(value)
        if masked != value:
            self.hidden += [found[2] for found in _URL_PASSWORD.finditer(value)]
        return masked

    def _names_a_secret(self, value: dict[Any, Any]) -> bool:
        names = (value.get(name) for name in NAMES)
        return any(isinstance(name, str) and self.keys.is_secret(name) for name in names)


class Keys:
    """The expressions of ``DIRECTOR["MASK"]``. It remembers its answers, because payloads repeat a few keys."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        # The default expressions are quick on a short key. They need no search with a time limit, which is slower.
        self._ours = [re.compile(pattern).search for pattern in patterns if pattern in SECRET_KEYS]
        self._others = [pattern for pattern in patterns if pattern not in SECRET_KEYS]
        self._known: dict[str, bool] = {}

    def is_secret(self, key: str) -> bool:
        """Whether values under this key are hidden."""
        known = self._known.get(key)
        if known is None:
            is_short = len(key) <= SHORT_KEY
            known = (is_short and self._is_ours(key)) or self._is_found(
                self._others if is_short else self._patterns, key
            )
            if is_short:
                self._keep(key, known)
        return known

    def _keep(self, key: str, known: bool) -> None:
        if len(self._known) >= KEYS_KNOWN:
            self._known.clear()
        self._known[key] = known

    def _is_ours(self, key: str) -> bool:
        return any(found(key) for found in self._ours)

    def _is_found(self, patterns: Iterable[str], key: str) -> bool:
        try:
            return any(search(pattern, key) for pattern in patterns)
        except PatternTooSlow:
            return True


def secret_keys() -> Keys:
    """Return the secret keys by ``DIRECTOR["MASK"]``. Raises ``InvalidSettings`` for a wrong expression."""
    given = director.MASK or ()
    return _keys((given,) if isinstance(given, str) else tuple(given))


@lru_cache(maxsize=8)
def _keys(patterns: tuple[str, ...]) -> Keys:
    try:
        for pattern in patterns:
            compile_pattern(pattern)
    except BadPattern as error:
        raise InvalidSettings(f'DIRECTOR["MASK"] is not a regular expression: {error}') from error
    return Keys(patterns)
