"""A broker that is a list."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import current_app

from django_director import dispatch


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dispatch.Message]]:
    """Messages that would have been sent: the broker is not what these tests are about."""
    sent: list[dispatch.Message] = []
    monkeypatch.setattr(dispatch, "_send", lambda message, producer: sent.append(message))
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    dispatch._pool.cache_clear()
    dispatch.breaker.reset()
    yield sent
    dispatch._pool.cache_clear()
