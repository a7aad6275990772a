"""What a worker does before it forks."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, sys
import django
django.setup()
from django_director.worker import bootsteps
gc.unfreeze()
bootsteps.prepare_to_fork()
missing = {"django_director.worker.execution", "django_director.engine.supervisor.loop"} - set(sys.modules)
assert not missing, missing
assert gc.get_freeze_count() > 10 * len(gc.get_objects()), (gc.get_freeze_count(), len(gc.get_objects()))
"""


def test_children_share_modules_and_pages_with_the_worker():
    made = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
