"""Errors as text, whatever their own methods do.

They are written by anybody and may raise anything, so everything is caught here: the outcome must be written.
"""

from __future__ import annotations

import pickle
import traceback
from types import TracebackType
from typing import Final

LARGE: Final = 64 * 1024
"""Characters. A longer text is not handed on to what would copy it."""


def name(error: BaseException) -> str:
    """The name of an error's class."""
    return str(type(error).__name__)


def text(value: object) -> str:
    """What ``str`` says of a value, or that it says nothing."""
    try:
        return str(value)
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
