"""A project as an engineer would have it: Django, Celery, and two apps with workflows."""

from .celery import app as celery_app

__all__ = ["celery_app"]
