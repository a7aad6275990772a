"""The key of the worker to which this process belongs: a random number that its forked processes share."""

from __future__ import annotations

import secrets

_key: int | None = None


def begin() -> int:
    """Give this process, and all processes that it will fork, a new key."""
    global _key
    _key = secrets.randbits(63)
    return _key


def worker_key() -> int | None:
    """Return the key of the worker; ``None`` in a process that belongs to no worker with signs of life."""
    return _key
