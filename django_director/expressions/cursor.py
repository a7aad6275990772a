"""A position in the tokens of an expression, and the errors when another token was expected there."""

from __future__ import annotations

from typing import Final, NoReturn

from django_director.common.suggestions import MAX_COMPARED

from .budget import Fault
from .names import hyphen_hint
from .tokens import Token, tokens

FOREIGN_WORDS: Final = {
    "is": "use `==`",
    "if": "there is no choice between two values; use `when` on two steps",
    "for": "there are no loops; use a `map` step",
}


class Cursor:
    """The tokens of ``text[start:end]``, and the position of the next one."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text = text
        self.tokens = tokens(text, start, end)
        self.position = 0

    @property
    def current(self) -> Token:
        """The next token."""
        return self.tokens[self.position]

    def advance(self) -> Token:
        """Return the next token and move behind it."""
        token = self.tokens[self.position]
        # The last token is `end`: it is never passed.
        self.position += token.kind != "end"
        return token

    def at(self, symbol: str) -> bool:
        """Whether the next token is the operator ``symbol``."""
        token = self.current
        return token.kind == "operator" and token.value == symbol

    def close(self, opening: Token, closing: str) -> None:
        """Move behind the bracket ``closing``, which closes ``opening``. Raises ``Fault`` if it is not there."""
        if self.current.kind == "end":
            raise Fault(f"this `{opening.value}` is never closed", at=opening.start)
        if not self.at(closing):
            self.no_operator()
        self.advance()

    def no_value(self, token: Token) -> NoReturn:
        """Raise ``Fault``: at ``token`` a value was expected."""
        if token.kind == "odd":
            number = token.value[0].isdigit()
            form = "numbers are written as in JSON" if number else "names have ASCII letters"
            hint = self.hyphen(token) or f"{form}; a text stands in quotes"
            raise Fault(f"`{token.value}` is no name and no number", hint, at=token.start)
        where = "at the end" if token.kind == "end" else f"before `{token.value}`"
        hint = self.hyphen(token) or (FOREIGN_WORDS.get(token.value, "") if token.kind == "name" else "")
        raise Fault(f"a value is missing {where}", hint, at=token.start)

    def no_operator(self) -> NoReturn:
        """Raise ``Fault``: the next token can't follow a value."""
        token = self.current
        shown = self.text[token.start : token.end]
        if token.kind == "operator":
            raise Fault(f"`{shown}` can't stand here", at=token.start)
        hint = FOREIGN_WORDS.get(shown, "") if token.kind == "name" else ""
        shown = shown if len(shown) <= MAX_COMPARED else shown[:MAX_COMPARED] + "…"
        raise Fault(f"an operator is missing before `{shown}`", hint, at=token.start)

    def hyphen(self, token: Token) -> str:
        """Return a hint if ``token`` seems to be the end of a name with hyphens, else an empty text."""
        return hyphen_hint(self.text, token.start, token.end)
