"""A list whose JSON text comes in pieces has the same elements, wherever it is cut."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_director.engine.steps.stored_items import elements
from django_director.exceptions import InvalidItems
from tests.examples import examples

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('[]{},:"\\ 1e'), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FORMS = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]),
        "indent": st.none() | st.just(1),
    }
)


def cut(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


@examples(200)
@given(st.lists(VALUES, max_size=6), FORMS, st.integers(1, 40))
def test_the_elements_of_a_list_in_pieces(values, form, size):
    found = [json.loads(text) for text in elements(cut(json.dumps(values, **form), size))]
    assert json.dumps(found) == json.dumps(values)


@examples(200)
@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.data())
def test_a_list_that_ends_too_early_is_an_error(values, size, data):
    text = json.dumps(values)
    left = text[: data.draw(st.integers(1, len(text) - 1))]
    with pytest.raises(InvalidItems, match="is not there any more"):
        list(elements(cut(left, size)))
