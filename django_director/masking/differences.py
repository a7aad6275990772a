"""Hides what secrets have gone into: a value that was made twice, from real and from masked data."""

from __future__ import annotations

from .values import MASKED


def hide_differences(real: object, masked: object) -> object:
    """Return ``real`` with a mask in place of each part that differs in ``masked``.

    ``masked`` is what was made from masked data where ``real`` was made from the data itself.
    """
    if real == masked:
        return masked
    if isinstance(real, dict) and isinstance(masked, dict) and real.keys() == masked.keys():
        return {key: hide_differences(value, masked[key]) for key, value in real.items()}
    if isinstance(real, list) and isinstance(masked, list) and len(real) == len(masked):
        return [hide_differences(*pair) for pair in zip(real, masked, strict=True)]
    return MASKED
