from __future__ import annotations

from django_director import status
from django_director.status import RunStatus, TaskStatus


def test_every_status_has_its_transitions():
    assert set(status.RUN_TRANSITIONS) == set(RunStatus)
    assert set(status.TASK_TRANSITIONS) == set(TaskStatus)


def test_active_and_finished_divide_the_statuses():
    assert set(RunStatus) == status.RUN_ACTIVE | status.RUN_FINISHED
    assert not status.RUN_ACTIVE & status.RUN_FINISHED
    assert set(TaskStatus) == status.TASK_ACTIVE | status.TASK_FINISHED
    assert not status.TASK_ACTIVE & status.TASK_FINISHED


def test_a_finished_task_moves_only_by_a_reset():
    for finished in status.TASK_FINISHED:
        skipped = {TaskStatus.SKIPPED} if finished in status.TASK_RETRYABLE else set()
        # Only a map has items that may be reset without itself, and one that never started has none.
        waiting = set() if finished == TaskStatus.UPSTREAM_FAILED else {TaskStatus.WAITING}
        assert status.TASK_TRANSITIONS[finished] == {TaskStatus.PENDING} | skipped | waiting
