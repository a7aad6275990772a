"""The Celery app. ``task_cls`` is all that django-director asks for."""

import os

from celery import Celery

import django_director.broker  # noqa: F401 - makes director:// known to every celery command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")

app = Celery("example_project", task_cls="django_director.celery:DirectorTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
