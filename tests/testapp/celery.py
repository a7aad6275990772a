"""The Celery app of the test suite."""

import os
import threading
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
if "FAKETIME" in os.environ:
    # libfaketime 0.9.10 refuses every sleep until a moment of a clock that it leaves alone, as Python's are.
    time.sleep = lambda seconds: threading.Event().wait(seconds) and None

from celery import Celery

from . import history  # noqa: F401 - connects its receivers

TASK_CLS = os.environ.get("DIRECTOR_TEST_TASK_CLS", "django_director.celery:DirectorTask")

app = Celery("tests", task_cls=TASK_CLS)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
for name in ("chaos_tasks", "policy_tasks", "lost_tasks", "rough_tasks"):
    app.autodiscover_tasks(["tests.testapp"], related_name=name)
if "acme" in TASK_CLS:
    app.autodiscover_tasks(["tests.testapp"], related_name="acme")
if os.environ.get("DIRECTOR_TEST_CODE") != "old":
    app.autodiscover_tasks(["tests.testapp"], related_name="new_tasks")
