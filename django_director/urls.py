"""``path("director/", include("django_director.urls"))``: the API below ``director/api/``, if DRF is used."""

from __future__ import annotations

from django.apps import apps
from django.urls import URLPattern, URLResolver, include, path

app_name = "django_director"

urlpatterns: list[URLPattern | URLResolver] = []
if apps.is_installed("rest_framework"):
    urlpatterns.append(path("api/", include("django_director.api.urls")))
