"""The line that ``--wait`` prints for a task that has ended."""

import pytest

from django_director.management.progress import _line
from django_director.models import Task


@pytest.mark.parametrize(
    ("status", "reason", "error", "line"),
    [
        ("skipped", "skipped: another run is active", "", "A skipped: another run is active"),
        ("skipped", "skipped by ann: late", "", "A skipped by ann: late"),
        ("canceled", "canceled", "", "A canceled"),
        ("canceled", "the run was stopped", "", "A canceled: the run was stopped"),
        ("failed", "", "ValueError:\n  no", "A failed: ValueError: no"),
        ("success", "", "", "A success"),
    ],
)
def test_a_line_says_the_status_once(status, reason, error, line):
    assert _line(Task(step="A", map_index=-1, status=status, reason=reason, error=error)) == line
