"""Settings that differ from place to place come from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

SQLITE_OPTIONS = {
    # A web server, workers and a supervisor write at the same time. Without these three, SQLite refuses some of
    # their transactions at once instead of letting them wait for their turn.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}
ENGINES = {
    "postgres": "django.db.backends.postgresql",
    "postgresql": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
    "mariadb": "django.db.backends.mysql",
}


def database(url: str, default: Path) -> dict[str, Any]:
    """A database by its URL: ``sqlite:////path``, ``postgres://user:password@host:port/name``, ``mysql://…``.

    ``?key=value`` are Django's ``OPTIONS`` for it. Without a URL it is the SQLite file ``default``. Raises
    ``ImproperlyConfigured`` for any other scheme.
    """
    parts = urlsplit(url)
    if not url or parts.scheme == "sqlite":
        name = unquote(parts.path).removeprefix("/") or str(default)
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": SQLITE_OPTIONS}
    if parts.scheme not in ENGINES:
        raise ImproperlyConfigured(
            f"DATABASE_URL begins with “{parts.scheme}”: use sqlite, {', '.join(sorted(ENGINES))}"
        )
    return {
        "ENGINE": ENGINES[parts.scheme],
        "NAME": unquote(parts.path).lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        # A worker keeps its connection from task to task, as a web process does from request to request.
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {key: _option(value) for key, value in parse_qsl(parts.query)},
    }


def _option(value: str) -> str | int | bool:
    if value.isdecimal():
        return int(value)
    return {"true": True, "false": False}.get(value, value)
