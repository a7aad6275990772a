"""The queues of a worker, told by its own process to the one beside it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from django_director.worker.consumed_queues import SIZE, Consumed


def worker(*names: str, consumer: Any = None) -> Any:
    queues = {name: SimpleNamespace(name=name) for name in names}
    return SimpleNamespace(
        app=SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=queues))), consumer=consumer
    )


def consumer(*names: str) -> Any:
    return SimpleNamespace(task_consumer=SimpleNamespace(queues=[SimpleNamespace(name=name) for name in names]))


def test_not_known_before_they_were_shown():
    assert Consumed().names() is None


def test_those_that_it_was_started_with_until_it_has_a_connection():
    consumed = Consumed()
    consumed.write(worker("b", "a"))
    assert consumed.names() == ["a", "b"]
    consumed.write(worker("b", "a", consumer=consumer("heavy", "käse")))
    assert consumed.names() == ["heavy", "käse"]
    consumed.write(worker("b", "a", consumer=SimpleNamespace(task_consumer=None)))
    assert consumed.names() == ["a", "b"]


@pytest.mark.parametrize("names", [["x" * SIZE], ["x" * 100] * SIZE], ids=["long", "many"])
def test_what_has_no_room_is_not_known(names):
    consumed = Consumed()
    consumed.write(worker("a"))
    consumed.write(worker(*{f"{name}{number}" for number, name in enumerate(names)}))
    assert consumed.names() is None


def test_half_of_it_is_no_news():
    consumed = Consumed()
    consumed.write(worker("a", "b"))
    assert consumed.names() == ["a", "b"]
    consumed._memory[8:12] = b"]]]]"
    assert consumed.names() == ["a", "b"]
