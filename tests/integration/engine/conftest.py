"""A broker that is a list, and transactions that are held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app

from django_director.dispatch import batches, publisher, remote_control
from django_director.engine.attempts import finish_fast
from tests.acceptance import audit

from . import machine
from .interleaving import overlap


@pytest.fixture(autouse=True)
def _sends_in_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests look at what is sent; most of them inside a transaction, where nothing would be."""
    monkeypatch.setattr(publisher, "is_uncommitted", lambda: False)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[publisher.Message]]:
    """Messages that would have been sent: the broker is not what these tests are about."""
    sent: list[publisher.Message] = []
    monkeypatch.setattr(batches, "send", lambda message, *_: sent.append(message))
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    publisher._pool.cache_clear()
    publisher.breaker.reset()
    yield sent
    publisher._pool.cache_clear()


@pytest.fixture
def modeled(monkeypatch: pytest.MonkeyPatch, settings: Any, transactional_db: None) -> Iterator[None]:
    """What the state machine needs around it: its broker, and a history of all changes of status."""
    settings.DIRECTOR = {"MAX_CRASHES": 3}
    monkeypatch.setattr(batches, "send", lambda message, *_: machine.sent.append(message))
    monkeypatch.setattr(remote_control, "kill", lambda ids: None)
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    publisher._pool.cache_clear()
    audit.install()
    yield
    audit.remove()
    publisher._pool.cache_clear()


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """``overlap``, with a folder. Inside of a finish a transaction is held: a single statement can't be."""

    def overlapping(point: str, first: Any, second: Any) -> list[Any]:
        if point in {"finish.updated", "finish.settled"}:
            monkeypatch.setattr(finish_fast, "can_pair", lambda: False)
        return overlap(point, first, second, folder=tmp_path)

    return overlapping


@pytest.fixture
def in_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task's end is a transaction wherever it is held; on PostgreSQL it would be a single statement."""
    monkeypatch.setattr(finish_fast, "can_pair", lambda: False)
