"""Reading text as if it were a project's file."""

from __future__ import annotations

import inspect
import pkgutil
from pathlib import Path
from typing import Any

from django_director.definitions import (
    Definition,
    Reading,
    check_permissions,
    check_retries,
    check_tasks,
    read_files,
)


def FETCH(*args: Any, **kwargs: Any) -> None: ...


def STORE(rows: Any, payload: Any) -> None: ...


def CHARGE(order: Any, amount: Any) -> None: ...


def SEND(order: Any, amount: Any, **kwargs: Any) -> None: ...


SIGNATURES = {task.__name__: inspect.signature(task) for task in (FETCH, STORE, CHARGE, SEND)}
SIGNATURES |= dict.fromkeys(
    ("billing.tasks.refund", "billing.tasks.remind", "crm.tasks.remind", "celery.backend_cleanup"),
    SIGNATURES["FETCH"],
)


def read_text(folder: Path, text: str) -> Reading:
    path = folder / "workflows.yml"
    path.write_bytes(text.encode())
    return read_files([path])


def checked(folder: Path, text: str) -> Reading:
    reading = read_text(folder, text)
    problems = check_tasks(reading.definitions, SIGNATURES.get, SIGNATURES)
    problems += check_retries(reading.definitions, pkgutil.resolve_name)
    return reading.adding([*problems, *check_permissions(reading.definitions, {"shop.approve_order"})])


def one(folder: Path, text: str) -> Definition:
    reading = read_text(folder, text)
    assert [str(problem) for problem in reading.problems] == []
    (definition,) = reading.definitions
    return definition


def codes(reading: Reading) -> list[str]:
    return [problem.code for problem in reading.problems]
