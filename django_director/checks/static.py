"""Checks the settings of the database, the database routers, the Celery app and the workflow files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from celery import Celery
from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, models, router

from django_director.common.suggestions import did_you_mean
from django_director.conf import director
from django_director.db.texts import stored_charset
from django_director.definitions import Definition
from django_director.definitions.source import codes

from .tags import TAG, AppConfigs

SQLITE: Final = "django.db.backends.sqlite3"
MYSQL: Final = "django.db.backends.mysql"
UTF8MB4: Final = "utf8mb4"
SQLITE_TIMEOUT: Final = 10
SQLITE_OPTIONS: Final = (
    '"OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, '
    '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}'
)
MAX_PROBLEMS: Final = 10
"""How many problems of the workflow files are shown, each as a warning: `check` runs before most commands."""
TASK_CLS: Final = 'app = Celery("proj", task_cls="django_director.celery:DirectorTask")'
OWN_TASK_CLS: Final = "A Task class of the project's own is made of it: `class AcmeTask(DirectorTask)`."
PICKLE: Final = ("pickle", "application/x-python-serialize")

SCHEDULER: Final = 'CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"'
SCHEDULES_LISTED: Final = 5


@register(TAG)
def check_database(app_configs: AppConfigs = None, **kwargs: object) -> list[CheckMessage]:
    """E005: there is no such alias. E008: the connection to MySQL lacks characters. W001: SQLite's options."""
    alias = director.DATABASE
    if not isinstance(alias, str):
        return []  # E003
    if alias not in connections.settings:
        near = did_you_mean(str(alias), list(connections.settings), mark="{!r}")
        hint = f"Name one of settings.DATABASES ({near})." if near else "Name one of settings.DATABASES."
        message = f"DIRECTOR['DATABASE'] is {alias!r}, which settings.DATABASES does not have."
        return [Error(message, hint=hint, id="director.E005")]
    return [*_check_sqlite(alias), *_check_mysql(alias)]


def _check_mysql(alias: str) -> list[CheckMessage]:
    database = connections.settings[alias]
    charset = database.get("OPTIONS", {}).get("charset", UTF8MB4)
    if database["ENGINE"] != MYSQL or charset == UTF8MB4:
        return []
    message = (
        f"The connection to the database {alias!r} has the character set {charset}: it can't send every text."
    )
    return [Error(message, hint='Leave OPTIONS["charset"] out, or write "utf8mb4".', id="director.E008")]


@register(Tags.database)
def check_charset(databases: Sequence[str] | None = None, **kwargs: object) -> list[CheckMessage]:
    """E008: the MySQL database can't hold every text; ``migrate`` and ``check --database`` run this check."""
    alias = director.DATABASE
    if alias not in (databases or ()) or connections[alias].vendor != "mysql":
        return []
    charset = stored_charset()
    if charset == UTF8MB4:
        return []
    message = f"The database {alias!r} has the character set {charset}: it can't hold every text."
    hint = (
        "ALTER DATABASE … CHARACTER SET utf8mb4, and for tables that are there: ALTER TABLE … CONVERT TO "
        "CHARACTER SET utf8mb4. Until then texts are stored with escapes."
    )
    return [Error(message, hint=hint, id="director.E008")]


@register(TAG)
def check_routers(app_configs: AppConfigs = None, **kwargs: object) -> list[CheckMessage]:
    """E010: ``DATABASE_ROUTERS`` and ``DIRECTOR["DATABASE"]`` name different databases for the tables."""
    alias = director.DATABASE
    if not isinstance(alias, str) or alias not in connections.settings:
        return []  # E003, E005
    hint = (
        f'Let the router say {alias!r} for the app "django_director", or name its alias in DIRECTOR["DATABASE"].'
    )
    return [Error(message, hint=hint, id="director.E010") for message in _disagreements(alias)]


def _disagreements(alias: str) -> Iterator[str]:
    rows = [_row_of(model, alias) for model in apps.get_app_config("django_director").get_models()]
    named = f"DIRECTOR['DATABASE'] is {alias!r}, and a database router"
    for other in sorted({router.db_for_write(type(row), instance=row) for row in rows} - {alias}):
        yield f"{named} sends tables of django-director to {other!r}."
    if not all(router.allow_migrate_model(alias, type(row)) for row in rows):
        yield f"{named} does not let `migrate` make the tables there."
    if not all(router.allow_relation(rows[0], row) for row in rows):
        yield f"{named} allows no relation between rows of django-director."


def _row_of(model: type[models.Model], alias: str) -> models.Model:
    """Return an unsaved row that belongs to a database: Django goes by that if the routers do not decide."""
    row = model()
    row._state.db = alias
    return row


def _check_sqlite(alias: str) -> list[CheckMessage]:
    database = connections.settings[alias]
    if database["ENGINE"] != SQLITE or "memory" in str(database["NAME"]):
        return []
    missing = _missing_options(database.get("OPTIONS", {}))
    if not missing:
        return []
    message = f"The SQLite database {alias!r} has no {', no '.join(missing)}: several writers make it fail."
    return [Warning(message, hint=f"Add {SQLITE_OPTIONS}.", id="director.W001")]


def _missing_options(options: dict[str, Any]) -> list[str]:
    command = str(options.get("init_command", "")).lower().replace(" ", "")
    present = {
        "transaction_mode IMMEDIATE": str(options.get("transaction_mode", "")).upper()
        in ("IMMEDIATE", "EXCLUSIVE"),
        f"timeout of at least {SQLITE_TIMEOUT} s": options.get("timeout", 0) >= SQLITE_TIMEOUT,
        "journal_mode=WAL": "journal_mode=wal" in command,
    }
    return [name for name, is_there in present.items() if not is_there]


@register(TAG)
def check_celery(app_configs: AppConfigs = None, **kwargs: object) -> list[CheckMessage]:
    """W002: the project has no Celery app. E006: its tasks can't be steps. W007: its workers accept pickle."""
    # These import Celery, which the project's settings may have set up only now.
    from django_director.celery import DirectorTask
    from django_director.sync.project import celery_app

    app = celery_app()
    if app is None:
        hint = f"Make one in your project's celery.py, `{TASK_CLS}`, and import it in the project's __init__.py."
        return [Warning("There is no Celery app, so no workflow can run.", hint=hint, id="director.W002")]
    try:
        is_ours = issubclass(app.Task, DirectorTask)
    except (ImportError, AttributeError) as error:
        message = f"The task_cls of the Celery app {app.main!r} can't be imported: {error}."
        return [Error(message, hint=f"Write `{TASK_CLS}`. {OWN_TASK_CLS}", id="director.E006")]
    if not is_ours:
        message = f"The Celery app {app.main!r} does not make its tasks DirectorTasks: no workflow can run."
        return [Error(message, hint=f"Write `{TASK_CLS}`. {OWN_TASK_CLS}", id="director.E006")]
    return _check_pickle(app)


def _check_pickle(app: Celery) -> list[CheckMessage]:
    accepted = app.conf.accept_content or ()
    if not any(str(kind).lower() in PICKLE for kind in accepted):
        return []
    message = (
        f"The workers of the Celery app {app.main!r} accept pickle: who can write to the broker runs any code."
    )
    hint = 'Take "pickle" out of CELERY_ACCEPT_CONTENT; no message of a workflow needs it.'
    return [Warning(message, hint=hint, id="director.W007")]


@register(TAG)
def check_workflows(app_configs: AppConfigs = None, **kwargs: object) -> list[CheckMessage]:
    """W003: the workflow files have problems; the first are shown, and ``checkworkflows`` shows all.

    W005: `periodic` is used without django-celery-beat. W006: beat's scheduler does not read the database.
    """
    from django_director.sync.project import read_project  # imports Celery

    reading = read_project()
    problems = [str(problem) for problem in reading.problems if problem.code != codes.NO_APP]  # W002
    if len(problems) > MAX_PROBLEMS:
        problems[MAX_PROBLEMS:] = [f"The workflow files have {len(problems) - MAX_PROBLEMS:,} more problems."]
    hint = "Nothing is stored until `manage.py checkworkflows` is content."
    told = [Warning(problem, hint=hint, id="director.W003") for problem in problems]
    return [*told, *_check_schedules(reading.definitions)]


def _check_schedules(definitions: Iterable[Definition]) -> list[CheckMessage]:
    from django_director.sync.project import celery_app, scheduler_of  # imports Celery

    named = [definition.name for definition in definitions if definition.schedules]
    if not named:
        return []
    listed = ", ".join(named[:SCHEDULES_LISTED]) + (", …" if len(named) > SCHEDULES_LISTED else "")
    if not apps.is_installed("django_celery_beat"):
        message = f"{listed}: `periodic` starts nothing, for django_celery_beat is not in INSTALLED_APPS."
        hint = f"Add it, set {SCHEDULER}, and run `migrate`, `syncworkflows` and `celery -A proj beat`."
        return [Warning(message, hint=hint, id="director.W005")]
    app = celery_app()
    if app is None:
        return []  # W002
    if wrong := scheduler_of(app):
        message = f"{listed}: `periodic` starts nothing with beat's scheduler as it is set: {wrong}."
        hint = f"Set {SCHEDULER}. If beat gets it by `--scheduler`, silence this warning."
        return [Warning(message, hint=hint, id="director.W006")]
    return []
