"""The app without what it does at its start."""

from django.apps import AppConfig


class Bare(AppConfig):
    name = "django_director"
    label = "django_director"
