"""Limits how often clients may call the API, if the project gives DRF's throttle scope ``director`` a rate."""

from __future__ import annotations

from typing import Any

from rest_framework.settings import api_settings
from rest_framework.throttling import ScopedRateThrottle


class DirectorThrottle(ScopedRateThrottle):
    """Sets a limit if ``DEFAULT_THROTTLE_RATES`` has a rate for the scope; without one DRF's own class raises."""

    def get_rate(self) -> str | None:
        rates: dict[str, Any] = api_settings.DEFAULT_THROTTLE_RATES
        return rates.get(self.scope or "")
