"""The scope ``director`` of DRF's throttling, harmless while the project gives it no rate."""

from __future__ import annotations

from typing import Any

from rest_framework.settings import api_settings
from rest_framework.throttling import ScopedRateThrottle


class DirectorThrottle(ScopedRateThrottle):
    """Throttles when ``DEFAULT_THROTTLE_RATES`` has a rate for the scope; DRF's own class raises else."""

    def get_rate(self) -> str | None:
        rates: dict[str, Any] = api_settings.DEFAULT_THROTTLE_RATES
        return rates.get(self.scope or "")
