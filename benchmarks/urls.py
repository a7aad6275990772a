"""The pages and the API of the project under measurement."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("director/", include("django_director.urls"))]
