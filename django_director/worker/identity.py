"""Which worker this process belongs to: a number of its own since the start of the worker, for its forks too."""

from __future__ import annotations

import secrets

_key: int | None = None


def begin() -> int:
    """Give this process, and what it forks from now on, a new key."""
    global _key
    _key = secrets.randbits(63)
    return _key


def worker_key() -> int | None:
    """The key of the worker; ``None`` where there is no worker that gives signs of life."""
    return _key
