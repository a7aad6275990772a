"""A `batch` of a registered task that has a limit of its own is a problem of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from django_director.sync.project import read_project

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("task", "limit"),
    [
        ("HARD_LIMIT", "a `time_limit`"),
        ("SOFT_LIMIT", "a `soft_time_limit`"),
        ("RATED", "a `rate_limit`"),
        ("HANG_ONCE_OWN_REQUEST", "a class of requests of its own"),
        ("GIVEN", ""),
        ("OWN_BASE", ""),
    ],
)
def test_limits_of_tasks(tmp_path: Path, task: str, limit: str, settings: Any):
    path = tmp_path / "workflows.yml"
    path.write_text(f"shop.A: {{tasks: [M: {{type: map, over: [1], task: {task}, batch: 50}}]}}\n")
    with override_settings(DIRECTOR={**settings.DIRECTOR, "WORKFLOWS": [path]}):
        found = [problem.message for problem in read_project().problems if problem.workflow == "shop.A"]
    wanted = [f"“M” has a `batch`, and its task “{task}” has {limit}"] if limit else []
    assert [message for message in found if "batch" in message] == wanted
