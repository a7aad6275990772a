"""Errors as text, whatever their own methods do.

They are written by anybody and may raise anything, so everything is caught here: the outcome must be written.
"""

from __future__ import annotations

import pickle
import traceback
from types import TracebackType
from typing import Any, Final

LARGE: Final = 64 * 1024
"""Characters. A longer text is not handed on to what would copy it."""

#: Python's own attributes, past whatever a class or its metaclass has in their place.
_OF_CLASS: Final[Any] = {word: vars(type)[word] for word in ("__name__", "__qualname__", "__module__", "__mro__")}
_OF_ERROR: Final[Any] = {word: vars(BaseException)[word] for word in ("__traceback__", "__cause__", "__context__")}


def tamed(error: BaseException) -> BaseException:
    """The error; where looking at it raises, one in its place with its name, text, traceback and built-in base.

    So nobody after this, Python's own context managers among them, stumbles over what is to be handled.
    """
    try:
        is_tame = _is_tame(error)
    except BaseException:
        is_tame = False
    return error if is_tame else _stand_in(error)


def _is_tame(error: Any) -> bool:
    """Whether what everybody asks of an error without a thought has the answer that Python would give."""
    kind = type(error)
    error.__traceback__ = _OF_ERROR["__traceback__"].__get__(error)
    return (
        error.__class__ is kind
        and all(getattr(error, word) is real.__get__(error) for word, real in _OF_ERROR.items())
        and all(getattr(kind, word) == real.__get__(kind) for word, real in _OF_CLASS.items())
    )


def _stand_in(error: BaseException) -> BaseException:
    said, module = text(error), text(_OF_CLASS["__module__"].__get__(type(error)))
    base = next(base for base in _OF_CLASS["__mro__"].__get__(type(error)) if _is_plain(base))
    kind: Any = type(name(error), (base,), {"__str__": lambda _: said, "__module__": module})
    made: BaseException = kind.__new__(kind)
    return made.with_traceback(_OF_ERROR["__traceback__"].__get__(error))


def _is_plain(base: type) -> bool:
    # A group can't be made without what is in it.
    return type(base) is type and base.__module__ == "builtins" and not issubclass(base, BaseExceptionGroup)


def name(error: BaseException) -> str:
    """The name of an error's class."""
    return str(_OF_CLASS["__name__"].__get__(type(error)))


def text(value: object) -> str:
    """What ``str`` says of a value, or that it says nothing."""
    try:
        # Never a subclass of `str`, which might raise in its turn.
        return str.__str__(str(value))
    except BaseException as problem:
        return f"(its text can't be had: {name(problem)})"


def described(error: BaseException) -> str:
    """An error on one line, as Python shows it."""
    return f"{name(error)}: {text(error)}".rstrip(": ")


def formatted(error: BaseException, frames: TracebackType | None) -> str:
    """The traceback of an error from ``frames`` on, with its causes where they can be shown."""
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException:
        return "".join(["Traceback (most recent call last):\n", *traceback.format_tb(frames), described(error)])


def is_loggable(error: BaseException) -> bool:
    """Whether an error has texts, of reasonable size, for whoever logs it."""
    try:
        traceback.format_exception(error)
        return len(str(error)) + len(repr(error)) <= LARGE
    except BaseException:
        return False


def is_picklable(error: BaseException) -> bool:
    """Whether another process can be told of an error as it is."""
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except BaseException:
        return False
