"""Parses the tokens of an expression to nodes, by the strength of its operators (a Pratt parser)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Any, Final, NoReturn

from django_director.common.suggestions import MAX_COMPARED, did_you_mean

from . import foreign_names
from .budget import MAX_INT, MAX_NESTING, Fault
from .cursor import FOREIGN_WORDS, Cursor
from .functions import DEFAULT, DEFAULT_USAGE, FUNCTIONS
from .names import EVERYWHERE, ROOTS, Reference, Root, accessor, check_path, root_hint
from .nodes import (
    Arithmetic,
    Call,
    Choice,
    Comparison,
    Constant,
    Default,
    Key,
    ListOf,
    Name,
    Negative,
    Node,
    Not,
    Operation,
    Path,
)
from .operations import COMPARISONS
from .statuses import compared_statuses
from .tokens import Token

_OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT = range(1, 7)
_STRENGTH: Final = {
    "or": _OR,
    "and": _AND,
    **dict.fromkeys(COMPARISONS, _COMPARISON),
    "+": _SUM,
    "-": _SUM,
    "*": _PRODUCT,
    "/": _PRODUCT,
    "%": _PRODUCT,
}
_LITERALS: Final = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_OPERATOR_WORDS: Final = frozenset({"and", "or", "not", "in"})
_FUNCTIONS: Final = (*FUNCTIONS, DEFAULT)
_FIELDS: Final = {"tasks": 2, "run": 1}
"""How many keys behind a root belong to the caller's mappings: they must be constants."""


class Parser(Cursor):
    """Parses one expression, ``text[start:end]``. Its methods raise ``Fault`` with an offset.

    ``known`` are the names that hints offer.
    """

    def __init__(self, text: str, start: int, end: int, known: Set[str] = EVERYWHERE) -> None:
        super().__init__(text, start, end)
        self._known = known
        self._depth = 0
        self.references: list[Reference] = []

    def parse(self) -> Node:
        """Return the node of the whole expression; afterwards ``references`` holds all values that it uses."""
        if self.current.kind == "end":
            raise Fault("the expression is empty", at=self.current.start)
        node = self._expression(0)
        if self.current.kind != "end":
            self.no_operator()
        self.references.sort(key=lambda reference: reference.column)
        return node

    # Operators

    def _expression(self, floor: int) -> Node:
        """Parse an operand and all following operators that bind more strongly than ``floor``."""
        left = self._operand(floor)
        while True:
            strength = _STRENGTH.get(self._operator(), 0)
            if strength <= floor:
                return left
            left = self._operation(left, strength)

    def _operator(self) -> str:
        token = self.current
        if token.kind not in ("operator", "name"):
            return ""
        if token.value == "not":
            following = self.tokens[self.position + 1]
            return "not in" if (following.kind, following.value) == ("name", "in") else ""
        return str(token.value)

    def _operation(self, left: Node, strength: int) -> Node:
        """Parse all operators of one strength in a row to one node: so a long sum is not nested deeply."""
        rest: list[Operation] = []
        while _STRENGTH.get(operator := self._operator()) == strength:
            offset = self.advance().start
            if operator == "not in":
                self.advance()
            rest.append(Operation(operator, self._expression(strength), offset))
        if strength in (_OR, _AND):
            return Choice((left, *(operation.operand for operation in rest)), stop=strength == _OR)
        if strength == _COMPARISON:
            self._compared({at + 1: words for at, words in compared_statuses(left, rest) if words})
        return Comparison(left, tuple(rest)) if strength == _COMPARISON else Arithmetic(left, tuple(rest))

    def _compared(self, words: dict[int, tuple[str, ...]]) -> None:
        first = min(words, default=0)
        for number in range(len(self.references) - 1, -1, -1) if words else ():
            reference = self.references[number]
            if reference.column < first:
                break
            if reference.column in words:
                self.references[number] = replace(reference, statuses=words[reference.column])

    def _nested(self, token: Token, floor: int = 0) -> Node:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise Fault(f"nested deeper than {MAX_NESTING} levels", at=token.start)
        node = self._expression(floor)
        self._depth -= 1
        return node

    # Operands

    def _operand(self, floor: int) -> Node:
        token = self.advance()
        match token.kind, token.value:
            case "name", "not":
                return self._not(token, floor)
            case "name", _:
                return self._named(token)
            case "operator", "-" if self.current.kind != "number":
                return Negative(self._nested(token, _PRODUCT), token.start)
        return self._with_keys(self._simple(token), token.start)

    def _simple(self, token: Token) -> Node:
        match token.kind, token.value:
            case "operator", "-":
                return Constant(_number(self.advance(), -1))
            case "operator", "(":
                node = self._nested(token)
                self.close(token, ")")
                return node
            case "operator", "[":
                return ListOf(self._list(token, "]"), token.start)
            case "number", _:
                return Constant(_number(token, 1))
            case "string", text:
                return Constant(text)
        self.no_value(token)

    def _not(self, token: Token, floor: int) -> Node:
        if floor > _NOT:
            raise Fault("`not` can't stand here", "put `not …` in parentheses", at=token.start)
        return Not(self._nested(token, _NOT))

    def _list(self, opening: Token, closing: str, *, of_default: bool = False) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self.at(closing):
            before = len(self.references)
            found.append(self._nested(opening))
            if of_default and len(found) == 1:
                tried = self.references[before:]
                self.references[before:] = [replace(reference, may_be_missing=True) for reference in tried]
            if not self.at(","):
                break
            self.advance()
        self.close(opening, closing)
        return tuple(found)

    # Names

    def _named(self, token: Token) -> Node:
        word = token.value
        if word in _OPERATOR_WORDS or word in FOREIGN_WORDS:
            self.no_value(token)
        if word in _LITERALS:
            return self._with_keys(Constant(_LITERALS[word]), token.start)
        if self.at("("):
            return self._with_keys(self._call(token), token.start)
        if word in FUNCTIONS or word == DEFAULT:
            usage = FUNCTIONS[word].usage if word in FUNCTIONS else DEFAULT_USAGE
            raise Fault(f"`{word}` is a function", self.hyphen(token) or f"write `{usage}`", at=token.start)
        for root in ROOTS:
            if word == root:
                return self._rooted(root, token)
        raise Fault(f"unknown name `{word}`", self.hyphen(token) or root_hint(word, self._known), at=token.start)

    def _rooted(self, root: Root, token: Token) -> Node:
        keys = self._keys(token.start)
        path: list[str | int] = []
        for key in keys:
            if not isinstance(key.node, Constant) or type(key.node.value) not in (str, int):
                break
            path.append(key.node.value)
        check_path(root, path, self.text, token.start, self._known)
        self.references.append(Reference(root, tuple(path), token.start + 1))
        fields = _FIELDS.get(root, 0)
        name = Name(root, tuple(map(str, path[:fields])), token.start)
        return Path(name, keys[fields:]) if keys[fields:] else name

    def _with_keys(self, node: Node, start: int) -> Node:
        keys = self._keys(start)
        return Path(node, keys) if keys else node

    def _keys(self, start: int) -> tuple[Key, ...]:
        found: list[Key] = []
        while self.current.kind == "operator" and self.current.value in (".", "[", "("):
            token = self.advance()
            owner = self.text[start : token.start].rstrip()
            if len(owner) > MAX_COMPARED:
                owner = "…" + owner[-MAX_COMPARED:]
            if token.value == "(":
                self._no_function(owner, found, token)
            found.append(Key(self._key(token, owner), owner, token.start))
        return tuple(found)

    def _key(self, token: Token, owner: str) -> Node:
        if token.value == "[":
            if self.at("]"):
                raise Fault("an index or a key is missing between the brackets", at=token.start)
            node = self._nested(token)
            self.close(token, "]")
            return node
        name = self.advance()
        if name.kind == "name":
            return Constant(name.value)
        if name.kind in ("odd", "string", "number"):
            key = name.value if name.kind == "string" else self.text[name.start : name.end].partition(".")[0]
            shown = f"[{key}]" if name.kind == "number" else accessor(key)
            raise Fault("this can't follow a dot", f"write `{owner}{shown}`", at=name.start)
        raise Fault("a name is missing after the dot", at=name.start)

    def _call(self, token: Token) -> Node:
        word = token.value
        if word != DEFAULT and word not in FUNCTIONS:
            raise Fault(
                f"unknown function `{word}`",
                foreign_names.FUNCTIONS.get(word) or did_you_mean(word, _FUNCTIONS, listed=len(_FUNCTIONS)),
                at=token.start,
            )
        arguments = self._list(self.advance(), ")", of_default=word == DEFAULT)
        function = FUNCTIONS.get(word)
        least, most = (function.least, function.most) if function else (2, 2)
        if not least <= len(arguments) <= most:
            usage = f"write `{function.usage if function else DEFAULT_USAGE}`"
            raise Fault(f"`{word}` with the wrong number of arguments: {len(arguments)}", usage, at=token.start)
        return Call(function, arguments, token.start) if function else Default(*arguments)

    def _no_function(self, owner: str, keys: list[Key], token: Token) -> NoReturn:
        last: Any = keys[-1].node.value if keys and isinstance(keys[-1].node, Constant) else None
        known = isinstance(last, str) and last in FUNCTIONS
        hint = f"write `{last}({keys[-1].owner})`" if known else "functions stand before what they take: `len(x)`"
        raise Fault(f"`{owner}` can't be called", hint, at=token.start)


def _number(token: Token, sign: int) -> int | float:
    value: int | float = sign * token.value
    if isinstance(value, int) and not -MAX_INT <= value < MAX_INT:
        raise Fault("the integer needs more than 64 bits", at=token.start)
    return value
