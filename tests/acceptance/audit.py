"""A history that no killed process can withhold: the database's own triggers write each change of status."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection

from django_director.status import RUN_FINISHED, TaskStatus

TABLE = "tests_audit"
_KEY = {
    "postgresql": "bigserial PRIMARY KEY",
    "mysql": "bigint AUTO_INCREMENT PRIMARY KEY",
    "sqlite": "integer PRIMARY KEY AUTOINCREMENT",
}
_INSERT = f"INSERT INTO {TABLE} (row_id, old, new, number, claim, crashed) VALUES"
#: By table: what is written. The number is the sequence of the attempt that began or ended, or the generation.
_VALUES = {
    "django_director_task": f"""{_INSERT} (CAST(NEW.id AS CHAR(36)), OLD.status, NEW.status,
        CASE WHEN NEW.status = 'running' THEN NEW.sequence ELSE OLD.sequence END,
        COALESCE(NEW.claim, OLD.claim), CASE WHEN NEW.crashes > OLD.crashes THEN 1 ELSE 0 END)""",
    "django_director_run": f"""{_INSERT} (CAST(NEW.id AS CHAR(36)), OLD.status, NEW.status,
        NEW.generation, NULL, -1)""",
}


def install() -> None:
    """Make the table and the triggers."""
    vendor = connection.vendor
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {TABLE} (id {_KEY[vendor]}, row_id char(36), old varchar(16), new varchar(16), "
            "number bigint, claim bigint, crashed integer)"
        )
        for table, values in _VALUES.items():
            for statement in _trigger(vendor, table, values):
                cursor.execute(statement)


def remove() -> None:
    """Take them away again."""
    with connection.cursor() as cursor:
        for table in _VALUES:
            on_table = f" ON {table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER {_name(table)}{on_table}")
            if connection.vendor == "postgresql":
                cursor.execute(f"DROP FUNCTION {_name(table)}()")
        cursor.execute(f"DROP TABLE {TABLE}")


def empty() -> None:
    """Forget all that has happened."""
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE}")


def _name(table: str) -> str:
    return f"audit_{table}"


def _trigger(vendor: str, table: str, values: str) -> list[str]:
    name = _name(table)
    if vendor == "postgresql":
        return [
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {values}; RETURN NULL; END $$",
            f"CREATE TRIGGER {name} AFTER UPDATE ON {table} FOR EACH ROW "
            f"WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION {name}()",
        ]
    if vendor == "mysql":
        when = "IF OLD.status <> NEW.status THEN"
        return [f"CREATE TRIGGER {name} AFTER UPDATE ON {table} FOR EACH ROW {when} {values}; END IF"]
    when = "WHEN OLD.status <> NEW.status"
    return [f"CREATE TRIGGER {name} AFTER UPDATE ON {table} FOR EACH ROW {when} BEGIN {values}; END"]


def history() -> list[dict[str, Any]]:
    """All changes in the order of the database, as the checker wants them."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT row_id, old, new, number, claim, crashed FROM {TABLE} ORDER BY id")
        return [_line(*row) for row in cursor.fetchall()]


def _line(row_id: str, old: str, new: str, number: int, claim: int | None, crashed: int) -> dict[str, Any]:
    who = str(UUID(row_id.strip()))
    if crashed < 0:
        what = "outcome" if new in RUN_FINISHED else "reopened"
        return {"what": what, "run": who, "generation": number, "before": old, "status": new}
    return {
        "what": _what(old, new, bool(crashed)),
        "task": who,
        "sequence": number,
        "claim": claim,
        "before": old,
        "status": new,
    }


def _what(old: str, new: str, crashed: bool) -> str:
    if new == TaskStatus.RUNNING:
        return "claim"
    if old != TaskStatus.RUNNING:
        return "move"
    if crashed or new == TaskStatus.CANCELED:
        return "lost"
    return "end" if new in (TaskStatus.SUCCESS, TaskStatus.FAILED) else "again"
