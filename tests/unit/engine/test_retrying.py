"""`retry`: how many attempts, how far apart, and after which errors."""

from __future__ import annotations

from urllib.error import HTTPError

import pytest

from django_director.definitions import Retry
from django_director.engine.retry_policy import HIGHEST, next_delay


class OwnError(ConnectionError):
    pass


def delays(retry: Retry, attempts: int = 5, chance: float = 0.0) -> list[float | None]:
    return [next_delay(retry, failures, ValueError, chance) for failures in range(attempts)]


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        (Retry(max=0), [None]),
        (Retry(max=2), [0, 0, None, None]),
        (Retry(max=3, delay=10), [10, 10, 10, None]),
        (Retry(max=4, delay=10, backoff=2), [10, 20, 40, 80, None]),
        (Retry(max=4, delay=10, backoff=2, max_delay=25), [10, 20, 25, 25, None]),
        (Retry(max=2, delay=7200), [3600, 3600, None]),
        (Retry(max=2, delay=60, max_delay=0), [0, 0, None]),
    ],
)
def test_delays(retry: Retry, expected: list[float | None]):
    assert delays(retry, len(expected)) == expected


def test_jitter_gives_between_half_and_the_whole():
    retry = Retry(max=9, delay=10, backoff=2, jitter=True)
    assert delays(retry, 3, chance=0.0) == [5, 10, 20]
    assert delays(retry, 3, chance=0.5) == [7.5, 15, 30]
    assert delays(retry, 3, chance=1.0) == [10, 20, 40]


def test_no_delay_is_beyond_the_calendar():
    huge = 10**15
    assert next_delay(Retry(max=huge, delay=1, backoff=1000, max_delay=huge), 10**6, ValueError, 0) == HIGHEST
    assert next_delay(Retry(max=huge, delay=huge, max_delay=huge), 0, ValueError, 0) == HIGHEST


@pytest.mark.parametrize(
    ("names", "error", "matches"),
    [
        ("builtins.OSError", OwnError, True),
        ("builtins.OSError", ValueError, False),
        ("urllib.error.URLError", HTTPError, True),
        # An alias: the class calls itself otherwise.
        ("socket.error", OwnError, True),
        ("OwnError", OwnError, True),
        ("ConnectionError", OwnError, True),
        ("OSError", OwnError, True),
        ("URLError", OwnError, False),
        ("no.such.Module", OwnError, False),
        ("urllib.error", OwnError, False),
    ],
)
def test_names_of_classes(names: str, error: type[BaseException], matches: bool):
    only = next_delay(Retry(max=1, only=(names,)), 0, error, 0)
    never = next_delay(Retry(max=1, never=(names,)), 0, error, 0)
    assert ((only is not None), (never is None)) == (matches, matches)


def test_never_wins_over_only():
    retry = Retry(max=1, only=("OSError",), never=("ConnectionError",))
    assert next_delay(retry, 0, OwnError, 0) is None
    assert next_delay(retry, 0, FileNotFoundError, 0) == 0
    assert next_delay(retry, 0, ValueError, 0) is None
