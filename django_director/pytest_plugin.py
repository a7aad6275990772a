"""The pytest fixture ``director``; pytest finds it by itself where django-director is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .models import Run


@pytest.fixture
def director(db: object) -> Iterator[Callable[..., Run]]:
    """Run a workflow in-process: ``run = director("shop.ORDER", {"order": 7})``.

    Nothing reaches the project's broker in a test that uses it.
    """
    from . import testing  # needs the apps to be loaded

    with testing.without_broker():
        yield testing.run_workflow
