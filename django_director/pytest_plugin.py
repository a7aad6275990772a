"""The pytest fixture ``director``; pytest finds it by itself where django-director is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .models import Run


@pytest.fixture
def director(db: object) -> Iterator[Callable[..., Run]]:
    """Return ``run_workflow``, which runs a workflow in this process.

    A test calls it like this: ``run = director("shop.ORDER", {"order": 7})``. No message reaches the
    project's broker in a test that uses this fixture.
    """
    from . import testing  # needs loaded apps

    with testing.without_broker():
        yield testing.run_workflow
