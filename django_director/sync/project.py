"""Reads the workflow files of the project, and checks them against the tasks of its Celery app."""

from __future__ import annotations

import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from celery import Celery, current_app
from celery.utils.imports import load_extension_class_names, symbol_by_name
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_permission_codename

from django_director.common.problems import Place
from django_director.conf import director
from django_director.definitions import (
    Problem,
    Reading,
    check_batches,
    check_destinations,
    check_permissions,
    check_retries,
    check_tasks,
    read_files,
    shown_path,
    workflow_files,
)
from django_director.definitions.call_plan import ANYTHING, Plans
from django_director.definitions.source import codes
from django_director.dispatch import routing
from django_director.graph import OWN_TASK

LIBRARY: Final = str(Path(os.__file__).parent)
_LIMITS: Final = {"time_limit": "task_time_limit", "soft_time_limit": "task_soft_time_limit", "rate_limit": None}
"""Limits of a task, and the settings that give a limit to all tasks. A worker keeps those for each of a batch."""
_USUAL_REQUESTS: Final = ("celery.worker.request:Request", "django_director.worker.requests:DirectorRequest")


def read_project() -> Reading:
    """Read the project's workflow files and check their steps against the registered Celery tasks.

    It raises nothing for mistakes in the files or in the project's task modules: these are in ``problems``.
    """
    reading = _read_files()
    if not director.AUTHORIZE:
        reading = reading.adding(check_permissions(reading.definitions, _permissions()))
    return _with_tasks(reading) if reading.definitions else reading


def _read_files() -> Reading:
    configured = director.WORKFLOWS
    if not _is_usable(configured):
        return Reading(problems=(_unusable_setting(configured),))
    return read_files(paths())


def paths() -> list[Path]:
    """Return the workflow files of the project; none if the setting that names them can't be used."""
    configured = director.WORKFLOWS
    if not _is_usable(configured):
        return []
    base = getattr(settings, "BASE_DIR", None)
    folders = [Path(config.path) for config in apps.get_app_configs()]
    return list(workflow_files(configured, Path(base) if base else None, folders))


def place_in_files(name: str) -> Place | None:
    """Return the place of the workflow ``name`` in the files; ``None`` if they have none. It asks no database."""
    return next((found.place for found in _read_files().definitions if found.name == name), None)


def known_tasks() -> Collection[str] | None:
    """Import the project's tasks and return their names; ``None`` if they can't be imported."""
    try:
        return set(_imported(_current_app()).tasks)
    # The project's modules may raise any error. It is reported where the steps are checked.
    except Exception:
        return None


def import_name(name: str) -> object:
    """Return the object that a dotted name leads to.

    Raises ``ImportError`` or ``AttributeError``, and no others.
    """
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        raise
    # A module of the project may raise any error when it is imported.
    except Exception as error:
        raise ImportError(f"{type(error).__name__}: {error}") from error


def _permissions() -> set[str]:
    """Return the permissions that models declare.

    It asks no database, so it lacks those that were made by hand.
    """
    found = set()
    for options in (model._meta for model in apps.get_models()):
        actions = [get_permission_codename(action, options) for action in options.default_permissions]
        found |= {f"{options.app_label}.{name}" for name in (*actions, *dict(options.permissions))}
    return found


def celery_app() -> Celery | None:
    """Return the project's Celery app; ``None`` if it has made none."""
    app = _current_app()
    # Without an app Celery makes one named "default", which has not been set as the current one.
    return None if app.main == "default" and not app.set_as_current else app  # type: ignore[attr-defined]


def plans_of(name: str) -> Plans | None:
    """Return how the Celery task ``name`` is called; ``None`` if its code is not loaded in this process."""
    app = _current_app()
    return Plans(_signature(app, name) or ANYTHING) if name in app.tasks else None


def _current_app() -> Celery:
    return current_app._get_current_object()  # type: ignore[attr-defined,no-any-return]


def _is_usable(configured: object) -> bool:
    paths = configured if isinstance(configured, list | tuple) else [configured]
    return configured is None or all(isinstance(path, str | Path) for path in paths)


def _unusable_setting(configured: object) -> Problem:
    return Problem(
        place=Place(path="settings"),
        code=codes.SETTING,
        message=f'DIRECTOR["WORKFLOWS"] must be a list of paths, and is {type(configured).__name__}',
        hint='write `DIRECTOR = {"WORKFLOWS": [BASE_DIR / "workflows.yml"]}`',
    )


def _with_tasks(reading: Reading) -> Reading:
    app = _current_app()
    try:
        known = set(_imported(app).tasks)
    # The project's modules are imported here and may raise any error, which is reported as a problem.
    except Exception as error:
        return reading.adding([_import_problem(error)])
    definitions = reading.definitions
    problems = check_tasks(definitions, lambda name: _signature(app, name), known)
    is_known = celery_app() is not None or not any(problem.code == codes.UNKNOWN_TASK for problem in problems)
    if not is_known:
        problems = [problem for problem in problems if problem.code != codes.UNKNOWN_TASK]
    problems += check_destinations(definitions, routing.refused_queue, OWN_TASK, _queues(app))
    problems += check_batches(definitions, partial(_limit_of, app))
    reading = reading.adding([*problems, *check_retries(definitions, import_name)])
    return reading if is_known else replace(reading, problems=(_no_app(), *reading.problems))


def _no_app() -> Problem:
    """Return the problem that stands in place of one for each step: without an app no task is known."""
    package = settings.SETTINGS_MODULE.partition(".")[0] if "." in (settings.SETTINGS_MODULE or "") else ""
    found = sys.modules.get(package)
    file = getattr(found, "__file__", None)
    return Problem(
        place=Place(path=shown_path(Path(file)) if file else "settings"),
        code=codes.NO_APP,
        message="the project has no Celery app, so steps are not checked against tasks",
        hint="make one in its celery.py and import it here: `from .celery import app`",
    )


def _imported(app: Celery) -> Celery:
    with routing.without_checks():
        app.loader.import_default_modules()
    return app


def _queues(app: Celery) -> list[str]:
    return [str(name) for name in app.amqp.queues]


def _signature(app: Celery, name: str) -> inspect.Signature | None:
    task = app.tasks[name]
    try:
        # Celery wraps `run` for `autoretry_for`; of bound tasks this is without `self`.
        return inspect.signature(getattr(task, "_orig_run", task.run))
    except (TypeError, ValueError):
        return None


def _limit_of(app: Celery, name: str) -> str:
    """Return the limit that a task has of its own, in words; empty if it has none, or is not known."""
    task: Any = app.tasks.get(name)
    if task is None:
        return ""
    for limit, of_all in _LIMITS.items():
        own = getattr(task, limit, None)
        if own is not None and (of_all is None or own != getattr(app.conf, of_all)):
            return f"a `{limit}`"
    request = task.Request
    name = request if isinstance(request, str) else f"{request.__module__}:{request.__name__}"
    return "" if name in _USUAL_REQUESTS else "a class of requests of its own"


def _import_problem(error: Exception) -> Problem:
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    return Problem(
        place=_raised_at(error),
        code=codes.IMPORT,
        message=f"the project's tasks can't be imported: {type(error).__name__}: {reason}",
        hint="correct the module; until then steps are not checked against tasks",
    )


def _raised_at(error: Exception) -> Place:
    """Return the place in the project's code from which an error comes, as far as it can be told."""
    if isinstance(error, SyntaxError) and error.filename:
        return Place(path=shown_path(Path(error.filename)), line=error.lineno or 1)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename)] or frames
    return Place(path=shown_path(Path(own[-1].filename)), line=own[-1].lineno or 1)


def _is_own(filename: str) -> bool:
    is_library = filename.startswith(LIBRARY) or "site-packages" in Path(filename).parts
    return not is_library and not filename.startswith("<")


def scheduler_of(app: Celery) -> str:
    """Return why beat, with this app's scheduler, ignores the schedules of the database; empty if it does not."""
    from django_celery_beat.schedulers import DatabaseScheduler  # its models need installed apps

    name = app.conf.beat_scheduler
    try:
        aliases: dict[str, str] = dict(load_extension_class_names("celery.beat_schedulers"))  # type: ignore[arg-type]
        scheduler = symbol_by_name(name, aliases=aliases)
    except (ImportError, AttributeError, ValueError) as error:
        return f"“{name}” can't be imported ({error})"
    is_ours = isinstance(scheduler, type) and issubclass(scheduler, DatabaseScheduler)
    return "" if is_ours else f"“{name}” does not read the database"
