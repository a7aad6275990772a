"""What stands behind the signs of life: the workflow files, retention, servers and settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from kombu import Connection

from django_director.common.languages import lazy_text, number
from django_director.common.versions import of_process
from django_director.conf import DEFAULTS, director
from django_director.db.functions import iso
from django_director.db.transactions import connection
from django_director.dispatch import routing
from django_director.engine.supervisor.retention import CLEANING as CLEANING
from django_director.masking.values import mask
from django_director.sync import condition

from .vital_rows import Sign

Json = dict[str, Any]

LONG: Final = ("MASK",)
"""Settings that would fill a page."""
CHANGES_NAMED: Final = 3
"""How many changes of a sync a message names."""


def read() -> Json:
    """Return what only some may see: versions, addresses without passwords, and settings."""
    return {"servers": _servers(), "settings": _settings()}


def files_state(*, with_names: bool) -> Json | None:
    """Return the problems of the workflow files, and what a sync would change; ``None`` without files.

    Both contain names of workflows: without ``with_names`` it is only told that there are some.
    """
    found = condition.look()
    if found is None:
        return None
    report = found.report
    changed = [
        *(lazy_text(_added, name) for name in report.added),
        *report.changed,
        *(lazy_text(_gone, name) for name in report.deactivated),
        *report.schedules,
    ]
    return {
        "names": list(found.files) if with_names else [],
        "in_step": found.is_good,
        "problems": [f"{each.place}: {each.message}" for each in found.problems] if with_names else [],
        "has_problems": bool(found.problems),
        "changes": changed if with_names else [],
    }


def _added(name: str) -> str:
    return _("%(name)s (added)") % {"name": name}


def _gone(name: str) -> str:
    return _("%(name)s (has left the files)") % {"name": name}


def warnings(files: Json | None) -> Iterator[Promise]:
    """Yield what is wrong with the workflow files: it harms no run, and the next sync."""
    if files is not None and not files["in_step"]:
        yield lazy_text(_warning, files)


def _warning(files: Json) -> str:
    if files["has_problems"]:
        text = _("the workflow files have problems and can't be synced%(named)s; see `manage.py checkworkflows`")
        return text % {"named": _first(files["problems"], 1, ": {}")}
    text = _("the workflow files differ from what is stored%(named)s: run `manage.py syncworkflows`")
    return text % {"named": _first(files["changes"], CHANGES_NAMED, " ({})")}


def _first(texts: list[Any], most: int, form: str) -> str:
    """Return the first of some texts, and how many more there are; empty without any."""
    named, more = ", ".join(map(str, texts[:most])), len(texts) - most
    if more > 0:
        text = ngettext("%(names)s, and %(n)s more", "%(names)s, and %(n)s more", more)
        named = text % {"names": named, "n": number(more)}
    return form.format(named) if texts else ""


def retention(cleaning: Sign | None) -> Json:
    """Return which runs of workflows without a rule of their own are deleted, and when that was done last."""
    return {
        "offset": director.RETENTION.get("offset"),
        "days": director.RETENTION.get("days"),
        "cleaned_at": None if cleaning is None else iso(cleaning.seen_at),
    }


def _servers() -> Json:
    database = connection()
    return {
        "database": f"{database.display_name} {'.'.join(map(str, database.get_database_version()))}",
        "broker": _address_of_broker(),
        "web": of_process(),
    }


def _address_of_broker() -> str:
    try:
        return _address_of(routing.app().connection_for_write())
    except Exception:
        # It is no address, or what this kind of broker needs is not installed: the problems say so.
        return "-"


def _address_of(broker: Connection) -> str:
    """Return the address without the password: the stars in its place stand only where there is one."""
    address = str(broker.as_uri())
    return address if broker.password else address.replace("//:**@", "//").replace(":**@", "@")


def _settings() -> list[Json]:
    """Return the settings of ``DIRECTOR``, and which of them the project has set."""
    given = {name: getattr(director, name) for name in DEFAULTS if name not in LONG}
    return [
        {"name": name, "value": _plain(mask(value)), "is_set": name in director.given}
        for name, value in sorted(given.items())
    ]


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: a path or a function as text."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
