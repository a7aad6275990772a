"""Tasks that workers with old code do not have: those with ``DIRECTOR_TEST_CODE=old``."""

from __future__ import annotations

from typing import Any

from django_director import task

from . import tasks


@task(name="NEW")
def new(*args: Any, **kwargs: Any) -> str:
    """As TRACE."""
    return str(tasks.trace.run(*args, **kwargs))
