"""What the oldest Pythons that are promised can't do: Debian 12 has 3.11.2, and the tests run with a later one."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import django_director

parser: Any = importlib.import_module("re._parser")
constants: Any = importlib.import_module("re._constants")
MISMATCHED = (constants.POSSESSIVE_REPEAT, constants.ATOMIC_GROUP)


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    for found in pkgutil.walk_packages(django_director.__path__, "django_director."):
        if ".migrations." in found.name:
            continue
        for name, value in vars(importlib.import_module(found.name)).items():
            if isinstance(value, re.Pattern):
                yield f"{found.name}.{name}", value


def parts(tree: Any) -> Iterator[Any]:
    """What a parsed pattern is made of, at every depth."""
    for part in tree:
        if isinstance(part, (list, tuple, parser.SubPattern)):
            yield from parts(part)
        else:
            yield part


def is_mismatched(pattern: str, flags: int = 0) -> bool:
    return any(part is wrong for part in parts(parser.parse(pattern, flags)) for wrong in MISMATCHED)


def test_no_pattern_has_what_python_before_3_11_5_matches_wrongly():
    """CPython issue 106052: possessive quantifiers and atomic groups around alternatives."""
    assert is_mismatched("(?:a|b)*+c")
    assert is_mismatched("((?>a|b)c)")
    found = dict(patterns())
    assert "django_director.expressions.templates._PART" in found
    assert [name for name, pattern in found.items() if is_mismatched(pattern.pattern, pattern.flags)] == []
