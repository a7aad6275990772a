"""Users by what they may do. ``client_of`` is each folder's own: a browser in ``admin``, a program in ``api``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_director.presentation import health
from tests.factories import VIEW


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """Let no test see an answer that the one before it has found."""
    for kept in (health._broker, health._status):
        kept.forget()


@pytest.fixture
def viewer(client_of: Callable[..., Any]) -> Any:
    """May look at everything."""
    return client_of(*VIEW)


@pytest.fixture
def operator(client_of: Callable[..., Any]) -> Any:
    """May do everything with every workflow."""
    return client_of(*VIEW, "run_workflow", "cancel_run", "retry_run", "view_payload", name="olga")
