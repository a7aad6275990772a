"""Every error as users see it: column, message and hint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from django_director.expressions import ExpressionError

from .helpers import value_of

CASES = re.findall(
    r"^(?P<text>\S.*)\n--- (?P<expected>.+)$",
    Path(__file__).with_name("golden.txt").read_text(),
    flags=re.MULTILINE,
)


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, expected in CASES])
def test_error(text, expected):
    with pytest.raises(ExpressionError) as caught:
        value_of(text)
    error = caught.value
    assert f"{error.column}: {error.message}" + (f" ({error.hint})" if error.hint else "") == expected
