"""Settings of the processes that ``test_broker`` starts: the broker alone, in the database of ``DATABASE_URL``."""

import os

from tests.databases import database_from_url

SECRET_KEY = "not a secret: tests only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": database_from_url(os.environ.get("DATABASE_URL", "sqlite://"))}
INSTALLED_APPS = ["django_director.broker"]
