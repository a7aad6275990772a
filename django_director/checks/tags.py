"""The tag of django-director's checks, and the type of an argument that Django passes to each check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.apps import AppConfig

TAG: Final = "director"
"""``manage.py check --tag director`` runs only these checks."""

AppConfigs = Sequence[AppConfig] | None
