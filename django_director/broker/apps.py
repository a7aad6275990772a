from __future__ import annotations

from django.apps import AppConfig


class BrokerConfig(AppConfig):
    """The app ``django_director.broker``: a Celery broker in the project's database."""

    name = "django_director.broker"
    label = "django_director_broker"
    verbose_name = "Director broker"
    default_auto_field = "django.db.models.BigAutoField"
