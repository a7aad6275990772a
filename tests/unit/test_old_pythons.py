"""What the oldest Pythons that are promised can't do: Debian 12 has 3.11.2, and the tests run with a later one."""

from __future__ import annotations

import importlib
import pkgutil
import re
import warnings
from collections.abc import Iterator
from typing import Any

import django_director
from django_director.expressions import templates, tokens

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import sre_constants
    import sre_parse

MISMATCHED = {sre_constants.POSSESSIVE_REPEAT, sre_constants.ATOMIC_GROUP}


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    for found in pkgutil.walk_packages(django_director.__path__, "django_director."):
        if ".migrations." in found.name or found.name.endswith("pytest_plugin"):
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{found.name}.{name}", value


def parts(tree: Any) -> Iterator[Any]:
    for part in tree:
        yield part
        if isinstance(part, (list, tuple, sre_parse.SubPattern)):
            yield from parts(part)


def test_no_pattern_has_what_python_before_3_11_5_matches_wrongly():
    """CPython issue 106052: possessive quantifiers and atomic groups around alternatives."""
    found = dict(patterns())
    assert f"{tokens.__name__}._TOKEN" in found or len(found) > 20
    assert f"{templates.__name__}._PART" in found
    wrong = [
        name
        for name, pattern in found.items()
        if isinstance(pattern.pattern, str)
        and any(
            part in MISMATCHED for part in parts(sre_parse.parse(pattern.pattern, pattern.flags)) if part.__hash__
        )
    ]
    assert wrong == []
