"""What a process of the pool has left of itself when it ended."""

from __future__ import annotations

import os
import uuid

from django_director.common.process_signs import Page


def forked(page: Page, task: uuid.UUID | None) -> int:
    """A process that takes a place, works on a task or on none, and dies."""
    pid = os.fork()
    if pid == 0:
        page.take(0)
        if task is not None:
            page.show_claim(task, 1)
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_the_last_task_of_a_process_whose_place_another_one_has():
    page, task = Page(), uuid.uuid4()
    first = forked(page, task)
    assert page.last_task(first) == task
    second = forked(page, None)
    assert page.last_task(first) == task
    assert page.last_task(second) is None
    forked(page, None)
    assert page.last_task(first) is None
