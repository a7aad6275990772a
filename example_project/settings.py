"""Settings of the example project.

Without any configuration it runs on SQLite and on the broker in the database, so it needs no server. The
environment chooses others: ``DATABASE_URL``, ``CELERY_BROKER_URL`` (``redis://…``, ``amqp://…``), ``SECRET_KEY``,
``DEBUG``, ``ALLOWED_HOSTS``, ``EXAMPLE_VAR`` (the folder of everything that is written).
"""

import os
from pathlib import Path

from kombu import Exchange, Queue

from .environment import database

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("EXAMPLE_VAR") or BASE_DIR / "var").resolve()
VAR.mkdir(parents=True, exist_ok=True)

DEBUG = os.environ.get("DEBUG", "1") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY", "for development only: set SECRET_KEY where others can reach the site")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_celery_beat",
    "django_director",
    "django_director.broker",
    "example_project.orders",
    "example_project.reports",
    "example_project.shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "example_project.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": database(os.environ.get("DATABASE_URL", ""), default=VAR / "db.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL") or "director://"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A worker that is started without `--queues` serves all of these.
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(name), routing_key=name) for name in ("celery", "reports", "orders", "slow")
]
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# Results of workflow tasks are in the database already, where the admin shows them.
CELERY_TASK_IGNORE_RESULT = True

DIRECTOR = {"RETENTION": {"offset": 500, "days": 90}}

# The business of this project: files come in, reports go out, mail is written to files.
INBOX = VAR / "inbox"
REPORTS = VAR / "reports"
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = VAR / "mail"
OPERATIONS_EMAIL = "operations@example.com"
SHOP_PACE = float(os.environ.get("SHOP_PACE", "0"))
"""Seconds that each step of shop.ORDER takes: with one or two its graph is good to watch."""
