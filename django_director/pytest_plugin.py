"""The pytest fixture ``director``; pytest finds it by itself where django-director is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def director(db: Any) -> Callable[..., Any]:
    """Run a workflow in-process: ``run = director("shop.ORDER", {"order": 7})``."""
    from .testing import run_workflow  # needs the apps to be loaded

    return run_workflow
