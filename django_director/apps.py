from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DirectorConfig(AppConfig):
    """The app ``django_director``."""

    name = "django_director"
    verbose_name = _("Director")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Importing a module of checks or receivers needs the apps to be loaded.
        from . import checks, installation, live_checks, sync, tasks, testsync, unapplying  # noqa: F401
