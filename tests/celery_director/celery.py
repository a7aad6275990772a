"""The project's Celery app."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.celery_director.settings")

from celery import Celery

app = Celery("celery_director", task_cls="django_director.celery:DirectorTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
