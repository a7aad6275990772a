"""Database settings from a URL, as the example project reads it."""

from pathlib import Path

from example_project.environment import database


def database_from_url(url: str) -> dict[str, object]:
    """``sqlite://`` alone is in memory; ``?key=value`` are Django's ``OPTIONS``."""
    found = database(url, default=Path(":memory:"))
    # The tests that cut connections say themselves who has to notice.
    found.pop("CONN_HEALTH_CHECKS", None)
    return found
