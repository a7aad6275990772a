"""The pytest fixture ``director``; pytest finds it by itself where django-director is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def director(db: Any) -> Iterator[Callable[..., Any]]:
    """Run a workflow in-process: ``run = director("shop.ORDER", {"order": 7})``.

    Nothing reaches the project's broker in a test that uses it.
    """
    from . import testing  # needs the apps to be loaded

    with testing.without_broker():
        yield testing.run_workflow
