"""Turns errors into text, even if their own methods raise errors.

The classes of these errors are the users'. Their methods may raise anything, so every error is caught here: the
engine must be able to write the outcome of a task.
"""

from __future__ import annotations

import pickle
import traceback
from types import TracebackType
from typing import Any, Final

LARGE: Final = 64 * 1024
"""An error whose texts have more characters is not given to Celery, which would copy them several times."""

#: Python's own attributes: a class or its metaclass may have others in their place.
_OF_CLASS: Final[Any] = {word: vars(type)[word] for word in ("__name__", "__qualname__", "__module__", "__mro__")}
_OF_ERROR: Final[Any] = {word: vars(BaseException)[word] for word in ("__traceback__", "__cause__", "__context__")}


def make_safe(error: BaseException) -> BaseException:
    """Return the error, or another one in its place if reading its attributes may raise an error.

    The replacement has the name, the text, the traceback and the built-in base class of the error. So code that
    handles it, such as Python's own context managers, meets no further error.
    """
    try:
        is_tame = _is_tame(error)
    except BaseException:
        is_tame = False
    return error if is_tame else _stand_in(error)


def _is_tame(error: BaseException) -> bool:
    """Whether the attributes of an error and of its class are those that Python gives them."""
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
    # An exception group can't be made without the errors in it.
    return type(base) is type and base.__module__ == "builtins" and not issubclass(base, BaseExceptionGroup)


def name(error: BaseException) -> str:
    """Return the name of an error's class."""
    return str(_OF_CLASS["__name__"].__get__(type(error)))


def text(value: object) -> str:
    """Return a value as text, or a text that says why it has none."""
    try:
        # This is never a subclass of `str`, whose methods might raise too.
        return str.__str__(str(value))
    except BaseException as problem:
        return f"(its text can't be had: {name(problem)})"


def describe(error: BaseException) -> str:
    """Return the name and the text of an error, as in the last line of a traceback."""
    return f"{name(error)}: {text(error)}".rstrip(": ")


def format_traceback(error: BaseException, frames: TracebackType | None) -> str:
    """Return the traceback of an error from ``frames`` on, with its causes if they can be shown."""
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException:
        return "".join(["Traceback (most recent call last):\n", *traceback.format_tb(frames), describe(error)])


def is_loggable(error: BaseException) -> bool:
    """Whether an error can be logged: its texts can be had and are of reasonable size."""
    try:
        traceback.format_exception(error)
        return len(str(error)) + len(repr(error)) <= LARGE
    except BaseException:
        return False


def is_picklable(error: BaseException) -> bool:
    """Whether an error can be sent to another process."""
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except BaseException:
        return False
