"""The versions of the programs that a process runs with."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

_PACKAGES: Final = {"django_director": "django-director", "celery": "celery", "django": "Django"}


@cache
def of_process() -> dict[str, str]:
    """Return the versions of django-director, Celery, Django and Python; those that are not known are left out."""
    found = {name: known for name, package in _PACKAGES.items() if (known := _of(package))}
    return {**found, "python": platform.python_version()}


def _of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
