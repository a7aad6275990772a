"""Where messages go, as the process that sends them sees it."""

from __future__ import annotations

import os
import subprocess
import sys

WEB = """
import django
django.setup()
from tests.testapp.celery import app
assert "LIMITED" not in app.tasks
from django_director.dispatch import routing
print(routing.own_options(app, "LIMITED").get("time_limit"), routing.own_options(app, "NO_SUCH_TASK"))
"""


def test_a_process_that_has_imported_no_tasks_knows_their_options():
    """As a web server: else a task's own queue and limits would not hold for what a request starts."""
    given = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run([sys.executable, "-c", WEB], env=given, capture_output=True, text=True, check=False)
    assert done.stdout == "1 {}\n", done.stderr
