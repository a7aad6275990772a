"""Every example of the reference page is true, and the page is complete."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from django_director.expressions import (
    ROOTS,
    RUN_FIELDS,
    STEP_FIELDS,
    ExpressionError,
    compile_expression,
    compile_value,
)
from django_director.expressions.budget import MAX_NESTING, MAX_RANGE, MAX_SIZE, MAX_STEPS, MAX_TEXT
from django_director.expressions.functions import DEFAULT, FUNCTIONS

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "expressions.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
NAMES = next(json.loads(text) for language, text in BLOCKS if language == "json")
EXAMPLES = [line.split(" → ") for language, text in BLOCKS if language == "text" for line in text.splitlines()]


def shown(text: str) -> str:
    """The value as JSON, or the error, as the page has it."""
    try:
        if text.startswith('"') and "${{" in text:
            value = compile_value(json.loads(text)).evaluate(NAMES)
        else:
            value = compile_expression(text).evaluate(NAMES)
    except ExpressionError as error:
        return f"error: {error.message}" + (f" ({error.hint})" if error.hint else "")
    return json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize(("text", "expected"), EXAMPLES, ids=[text for text, expected in EXAMPLES])
def test_example(text, expected):
    assert shown(text) == expected


def test_the_page_has_every_name_and_function():
    names = {*ROOTS, *(f"run.{field}" for field in RUN_FIELDS), *(f"tasks.ID.{field}" for field in STEP_FIELDS)}
    cells = " ".join(line for line in PAGE.splitlines() if line.startswith("|"))
    missing = {name for name in names - {"tasks", "run"} if f"`{name}`" not in cells}
    missing |= {name for name in (*FUNCTIONS, DEFAULT) if not re.search(rf"`{name}[(`]", cells)}
    assert not missing


def test_the_page_has_the_limits():
    for limit in (f"{MAX_TEXT:,} characters", f"{MAX_NESTING} levels", f"{MAX_RANGE:,} integers"):
        assert limit in PAGE
    assert (MAX_STEPS, MAX_SIZE // 2**20) == (1_000_000, 16)
    assert "a\nmillion parts" in PAGE
    assert "16 million characters" in PAGE
