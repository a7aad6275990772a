"""What ``manage.py check`` says about the settings, the Celery app, the database and the workflow files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, models, router

from django_director.access.authorization import deciding
from django_director.common.suggestions import did_you_mean
from django_director.conf import DEFAULTS, director
from django_director.db.texts import stored_charset
from django_director.definitions import Definition
from django_director.definitions.source import codes
from django_director.exceptions import InvalidSettings
from django_director.masking.values import secret_keys

TAG: Final = "director"
SQLITE: Final = "django.db.backends.sqlite3"
MYSQL: Final = "django.db.backends.mysql"
UTF8MB4: Final = "utf8mb4"
SQLITE_TIMEOUT: Final = 10
SQLITE_OPTIONS: Final = (
    '"OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, '
    '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}'
)
MAX_PROBLEMS: Final = 10
"""How many problems of the workflow files are warnings of their own: `check` runs before most commands."""
TASK_CLS: Final = 'app = Celery("proj", task_cls="django_director.celery:DirectorTask")'
OWN_TASK_CLS: Final = "A Task class of the project's own is made of it: `class AcmeTask(DirectorTask)`."
PICKLE: Final = ("pickle", "application/x-python-serialize")

SCHEDULER: Final = 'CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"'
SCHEDULES_LISTED: Final = 5

AppConfigs = Sequence[AppConfig] | None
Fits = Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_name(value: Any) -> bool:
    return value is None or (isinstance(value, str) and bool(value))


def _is_paths(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple) and all(isinstance(p, str | Path) for p in value))


def _is_mask(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list | tuple) and all(isinstance(p, str) for p in value))


def _is_retention(value: Any) -> bool:
    return isinstance(value, dict) and all(
        (key == "offset" and isinstance(number, int) and number >= -1) or (key == "days" and _is_count(number))
        for key, number in value.items()
    )


_NUMBER: Final = (_is_number, "a number of seconds above 0")
_COUNT: Final = (_is_count, "a whole number above 0")
_SWITCH: Final = (lambda value: isinstance(value, bool), "True or False")
_NAME: Final = (_is_name, "text, or None")

RULES: Final[dict[str, tuple[Fits, str]]] = {
    "WORKFLOWS": (_is_paths, "a list of paths, or None"),
    "SYNC_AFTER_MIGRATE": _SWITCH,
    "LEASE": _NUMBER,
    "RENEW": _NUMBER,
    "DISPATCH_GRACE": _NUMBER,
    "DATABASE": (lambda value: isinstance(value, str), "the alias of a database"),
    "TICK": _NUMBER,
    "SUPERVISOR": (lambda value: value in ("worker", "process"), '"worker" or "process"'),
    "MAX_MISSED_SLOTS": _COUNT,
    "MAX_CRASHES": _COUNT,
    "UNKNOWN_TASK_TTL": _NUMBER,
    "MAX_TASKS_PER_RUN": _COUNT,
    "MAX_RESULT": _COUNT,
    "MAX_PAYLOAD": _COUNT,
    "MAX_TRACEBACK": _COUNT,
    "MAX_INPUT": _COUNT,
    "RETENTION": (_is_retention, 'a dict as {"offset": 50, "days": 90}'),
    "DEFAULT_QUEUE": _NAME,
    "TASK_TIME_LIMIT": (lambda value: value is None or _is_number(value), "a number of seconds, or None"),
    "CAPTURE_LOGS": _SWITCH,
    "AUTHORIZE": (lambda value: callable(value) or _is_name(value), "a dotted path, or None"),
    "MASK": (_is_mask, "a regular expression, or a list of them"),
}


@register(TAG)
def check_settings(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """E001: not a dict. E002: unknown keys. E003: values of a wrong type or range. E004: no room to renew.

    E007: values that can't be used.
    """
    if not isinstance(getattr(settings, "DIRECTOR", {}), dict):
        hint = 'Write DIRECTOR = {"LEASE": 90, …}, or leave it out.'
        return [Error("The setting DIRECTOR is not a dict.", hint=hint, id="director.E001")]
    return [*_unknown_keys(), *_wrong_values(), *_unusable_values()]


def _unknown_keys() -> Iterator[CheckMessage]:
    for key in director.unknown:
        near = did_you_mean(str(key), DEFAULTS)
        hint = near.replace("did", "Did").replace("`", "") if near else f"Known keys: {', '.join(DEFAULTS)}."
        yield Error(f"DIRECTOR has the unknown key {key!r}.", hint=hint, id="director.E002")


def _wrong_values() -> Iterator[CheckMessage]:
    wrong = {key for key, (fits, _) in RULES.items() if not fits(getattr(director, key))}
    for key in sorted(wrong):
        message = f"DIRECTOR[{key!r}] is {getattr(director, key)!r}, and must be {RULES[key][1]}."
        yield Error(message, hint=f"The default is {DEFAULTS[key]!r}.", id="director.E003")
    if not wrong & {"LEASE", "RENEW"} and director.RENEW >= director.LEASE:
        message = f"DIRECTOR['RENEW'] ({director.RENEW}) is not below DIRECTOR['LEASE'] ({director.LEASE})."
        hint = "A lease that is renewed after it has ended makes every long task run twice; use a third of it."
        yield Error(message, hint=hint, id="director.E004")


def _unusable_values() -> Iterator[CheckMessage]:
    for key, use in (("AUTHORIZE", deciding), ("MASK", secret_keys)):
        fits, kind = RULES[key]
        if not fits(getattr(director, key)):
            continue  # E003
        try:
            use()
        except InvalidSettings as error:
            yield Error(f"{error}.", hint=f"It must be {kind}.", id="director.E007")


@register(TAG)
def check_database(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """E005: no such alias. E008: a connection to MySQL that lacks characters. W001: SQLite for one writer."""
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
def check_charset(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """E008: a MySQL database that can't hold every text; asked by ``migrate`` and ``check --database``."""
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
def check_routers(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """E010: ``DATABASE_ROUTERS`` and ``DATABASE`` disagree about where our tables are."""
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
    """A row that stands in this database: where a router has no opinion, Django goes by that."""
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
def check_celery(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """W002: the project has no Celery app. E006: its tasks can't be steps. W007: its workers accept pickle."""
    # Both need Celery, which a project's settings may only now have set up.
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


def _check_pickle(app: Any) -> list[CheckMessage]:
    accepted = app.conf.accept_content or ()
    if not any(str(kind).lower() in PICKLE for kind in accepted):
        return []
    message = (
        f"The workers of the Celery app {app.main!r} accept pickle: who can write to the broker runs any code."
    )
    hint = 'Take "pickle" out of CELERY_ACCEPT_CONTENT; no message of a workflow needs it.'
    return [Warning(message, hint=hint, id="director.W007")]


@register(TAG)
def check_workflows(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """W003: the first problems of the workflow files, as ``checkworkflows`` shows them all.

    W005: `periodic` without django-celery-beat. W006: with it, where beat would not read the database.
    """
    from django_director.sync.project import read_project  # imports Celery, as above

    reading = read_project()
    problems = [str(problem) for problem in reading.problems if problem.code != codes.NO_APP]  # W002
    if len(problems) > MAX_PROBLEMS:
        problems[MAX_PROBLEMS:] = [f"The workflow files have {len(problems) - MAX_PROBLEMS:,} more problems."]
    hint = "Nothing is stored until `manage.py checkworkflows` is content."
    told = [Warning(problem, hint=hint, id="director.W003") for problem in problems]
    return [*told, *_check_schedules(reading.definitions)]


def _check_schedules(definitions: Iterable[Definition]) -> list[CheckMessage]:
    from django_director.sync.project import celery_app, scheduler_of  # imports Celery, as above

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
