"""The addresses of the API, if the project uses Django REST framework.

With ``path("director/", include("django_director.urls"))`` in a project the API is below ``director/api/``.
"""

from __future__ import annotations

from django.apps import apps
from django.urls import URLPattern, URLResolver, include, path

app_name = "django_director"

urlpatterns: list[URLPattern | URLResolver] = []
if apps.is_installed("rest_framework"):
    urlpatterns.append(path("api/", include("django_director.api.urls")))
