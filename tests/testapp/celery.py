"""The Celery app of the test suite."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

from celery import Celery

from . import history  # noqa: F401 - connects its receivers

app = Celery("tests", task_cls="django_director.celery:DirectorTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
for name in ("chaos_tasks", "policy_tasks"):
    app.autodiscover_tasks(["tests.testapp"], related_name=name)
