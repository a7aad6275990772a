"""The app of Django, and which modules it imports when all apps are loaded."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

WITH_RECEIVERS = (
    "django_director.checks.setting_values",
    "django_director.checks.static",
    "django_director.checks.live",
    "django_director.dispatch.installation",
    "django_director.sync.after_migrate",
    "django_director.schedules.tasks",
    "django_director.schedules.beat_signs",
    "django_director.sync.test_sync",
    "django_director.sync.unapply_guard",
)
"""The modules that register checks, receivers or Celery tasks. They can be imported once the apps are loaded."""


class DirectorConfig(AppConfig):
    """The app ``django_director``."""

    name = "django_director"
    verbose_name = _("Director")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        for module in WITH_RECEIVERS:
            import_module(module)
