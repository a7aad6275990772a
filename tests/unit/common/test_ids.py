from __future__ import annotations

import time
import uuid

import pytest

from django_director.common import ids


def test_runs_sort_by_time_and_leave_room_for_tasks():
    run = ids.new_run_id()
    assert run.version == 7
    assert run.variant == uuid.RFC_4122
    last = ids.task_id(run, 2**ids.POSITION_BITS - 2)
    assert last.int >> ids.POSITION_BITS == run.int >> ids.POSITION_BITS
    assert last.version == 7
    assert ids.task_id(run, 0) != run


def test_runs_started_one_after_the_other_sort_so():
    made = []
    for _ in range(100):
        made.append(ids.new_run_id())
        before = time.time_ns()
        while time.time_ns() - before < 1_000:
            pass
    assert made == sorted(made)


def test_ids_differ():
    assert len({ids.new_run_id() for _ in range(1000)} | {ids.new_id() for _ in range(1000)}) == 2000


def test_message_ids_round_trip():
    task = ids.new_id()
    assert ids.parse_message_id(ids.message_id(task, 65537)) == (task, 65537)


@pytest.mark.parametrize("text", ["", "x", "a8098c1a-f86e-11da-bd1a-00112444be1e", "a-b"])
def test_other_ids_are_refused(text):
    with pytest.raises(ValueError, match=r".*"):
        ids.parse_message_id(text)
