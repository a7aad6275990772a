"""Texts that come from users, code and logs, made so that they can only be read."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Final

_TERMINAL: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()*+][0-9A-B]|\x1b[=>@-Z\\-_]"
)
"""The escape sequences of ECMA-48, with which programs colour their lines in terminals."""
_JOINERS: Final = "\u200c\u200d"
"""Persian words and many pictures need these two."""
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


class _Translation:
    """What ``str.translate`` puts in place of a character that acts on others: what ``replace`` makes of it."""

    def __init__(self, replace: Callable[[str], str]) -> None:
        self.replace = replace

    def __getitem__(self, code: int) -> str:
        char = chr(code)
        is_kept = char.isprintable() or char in "\n\t" or char in _JOINERS or unicodedata.category(char) == "Zs"
        return char if is_kept else self.replace(char)


_REPLACED: Final = _Translation(lambda char: REPLACEMENT)
_ESCAPED: Final = _Translation(lambda char: json.dumps(char)[1:-1])


def readable(text: str) -> str:
    """Return a text of several lines without the codes of terminals for colours, and without control characters.

    Such a character, or one that changes the direction of writing, becomes a replacement sign: it could let a text
    look like another one.
    """
    plain = _TERMINAL.sub("", text).replace("\r\n", "\n")
    return plain if plain.isprintable() else plain.translate(_REPLACED)


def escaped(text: str) -> str:
    """Return the text of a JSON value in which characters that act on others are written as ``\\u202e``."""
    return text if text.isprintable() else text.translate(_ESCAPED)


def on_one_line(text: str) -> str:
    """Return a text as ``readable`` does; the ends of its lines become replacement signs too."""
    return re.sub(r"[\n\t]", REPLACEMENT, readable(text))
