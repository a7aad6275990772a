"""Two ends of items at once, or one and something else, in either order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_director import engine
from django_director.db.functions import Now
from django_director.engine import stopping
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim
from django_director.engine.attempts.failures import Failure
from django_director.engine.flow import item_rows
from django_director.engine.steps import maps
from django_director.engine.supervisor import audit, leases
from django_director.models import Run
from django_director.status import RunStatus
from tests.factories import mapped

from . import driver
from .interleaving import IN_FINISH, held_elsewhere, needs_several_writers, own_connection

pytestmark = [pytest.mark.django_db(transaction=True), needs_several_writers]
orders = pytest.mark.parametrize("order", [1, -1], ids=["in-order", "reversed"])
points = pytest.mark.parametrize("point", IN_FINISH)


def two_items(size: int, **fields: Any) -> tuple[Run, list[Claim]]:
    """A map of which two items are running, and what is below these has ended."""
    run = driver.start(mapped("M", **fields), "Z", payload={"items": list(range(size))})
    driver.expand(run, "M")
    return run, [driver.claim(run, "M", index) for index in (0, 1)]


def in_work(run: Run) -> list[int]:
    rows = run.tasks.filter(map_index__gte=0).active().exclude(status="pending").order_by("map_index")
    return list(rows.values_list("map_index", flat=True))


@orders
@points
def test_the_last_two_items(held, point, order):
    run, claimed = two_items(2)
    first, second = claimed[::order]
    results = held(point, lambda: finish.finish(first, 1), lambda: finish.finish(second, 1))
    assert results == [True, True]
    assert run.tasks.get(step="Z").status == "queued"
    driver.check_gates(run)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


@orders
@pytest.mark.parametrize("point", ["fail.updated", "finish.updated", "finish.settled"])
def test_the_last_two_items_when_one_fails(held, point, order):
    run, claimed = two_items(2)
    failing, other = claimed[::order]
    ends = [lambda: finish.fail(failing, Failure(error="ValueError: no")), lambda: finish.finish(other, 1)]
    assert held(point, *(ends if point == "fail.updated" else ends[::-1])) == [True, True]
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert run.tasks.get(step="M", map_index=-1).error == "1 of 2 items failed"
    driver.check_gates(run)


@orders
@points
def test_two_ends_release_two_items(held, point, order):
    run, claimed = two_items(5, max_parallel=2)
    first, second = claimed[::order]
    held(point, lambda: finish.finish(first, 1), lambda: finish.finish(second, 1))
    assert in_work(run) == [2, 3]
    driver.check_gates(run)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


@points
def test_two_ends_and_one_item_left(held, point):
    run, (first, second) = two_items(3, max_parallel=2)
    held(point, lambda: finish.finish(first, 1), lambda: finish.finish(second, 1))
    assert in_work(run) == [2]
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


@points
def test_an_end_that_releases_and_a_cancel(held, point):
    run, (first, second) = two_items(4, max_parallel=2)
    held(point, lambda: finish.finish(first, 1), lambda: engine.cancel(run))
    audit.close_stopped()
    assert in_work(run) == [1]
    assert finish.finish(second, 1)
    stopping.continue_stop(run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    engine.retry(run)
    driver.check_gates(run)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


@points
def test_an_end_that_releases_and_a_top_up(held, point):
    run, (first, _) = two_items(6, max_parallel=3)
    run.tasks.filter(map_index=2).update(status="success", finished_at=Now(), next_dispatch_at=None)
    held(point, lambda: finish.finish(first, 1), item_rows.top_up)
    assert len(in_work(run)) == 3


def test_an_item_that_somebody_has_locked_is_passed_over_and_begins_later():
    run, (first, second) = two_items(5, max_parallel=2)
    with held_elsewhere(run.tasks.filter(map_index=2)):
        assert finish.finish(first, 1)
        assert in_work(run) == [1, 3]
    assert finish.finish(second, 1)
    assert in_work(run) == [3, 4]
    assert finish.finish(driver.claim(run, "M", 3), 1)
    assert in_work(run) == [2, 4]
    driver.check_gates(run)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_items_that_somebody_has_locked_do_not_count_as_begun():
    run, (first, second) = two_items(4, max_parallel=2)
    with held_elsewhere(run.tasks.filter(map_index__in=[2, 3])):
        assert finish.finish(first, 1)
        assert in_work(run) == [1]
    assert finish.finish(second, 1)
    assert in_work(run) == [2]
    assert item_rows.top_up() == 1
    driver.check_gates(run)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


@pytest.mark.parametrize("point", ["hold.updated", "map.inserted", "map.committed"])
def test_an_expansion_and_a_cancel(held, point):
    run = driver.start(mapped("M", max_parallel=1), "Z", payload={"items": [1, 2]})
    claimed = driver.claim(run, "M")
    held(point, lambda: maps.expand(claimed, ["1", "2"]), lambda: engine.cancel(run))
    audit.close_stopped()
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    assert set(run.tasks.values_list("status", flat=True)) == {"canceled"}
    engine.retry(run)
    driver.check_gates(run)
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


@pytest.mark.parametrize("point", ["hold.updated", "map.inserted"])
def test_an_expansion_and_its_loss(held, point):
    """A lease ends while the map gets its items: one of the two wins."""
    run = driver.start(mapped("M"), "Z", payload={"items": [1, 2]})
    claimed = driver.claim(run, "M")
    run.tasks.filter(step="M").update(lease_until="2026-01-01T00:00:00Z")
    held(point, lambda: maps.expand(claimed, ["1", "2"]), leases.expire_leases)
    assert run.tasks.get(step="M", map_index=-1).status == "waiting"
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_many_ends_at_once_never_begin_too_many():
    run = driver.start(mapped("M", max_parallel=8), payload={"items": list(range(200))})
    driver.expand(run, "M")
    seen: list[int] = []

    def work() -> None:
        while queued := run.tasks.queued().select_related("run__version").order_by("?").first():
            claimed = claims.claim(driver.ticket(queued), "tests")
            seen.append(len(in_work(run)))
            if claimed is not None:
                assert finish.finish(claimed, claimed.map_index)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: own_connection(work), range(8))) == [None] * 8
    driver.drain(run)
    assert max(seen) <= 8
    assert run.status == RunStatus.SUCCESS
    assert run.result == list(range(200))
    driver.check_gates(run)
    queued = list(run.tasks.filter(map_index__gte=0).order_by("map_index").values_list("queued_at", flat=True))
    assert all(earlier < later for earlier, later in zip(queued, queued[16:], strict=False)), "not in order"
