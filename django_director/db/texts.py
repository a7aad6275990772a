"""Texts of people and tasks, in the form that the database can hold.

A character that the database's character set lacks becomes a backslash escape. PostgreSQL would refuse such a
text; MySQL would refuse it, or cut it off if it is not in strict mode. JSON needs no escapes: it is written in
ASCII.
"""

from __future__ import annotations

import codecs
import re
from functools import cache
from typing import Any, Final

from django_director.common.json_values import storable_text
from django_director.conf import director

from .transactions import connection

WHOLE: Final = frozenset({"utf8mb4", "utf16", "utf16le", "utf32", "UTF8", "SQL_ASCII"})
"""Character sets that have every character, or that check none."""
_WITHOUT_FOUR_BYTES: Final = frozenset({"utf8", "utf8mb3", "ucs2"})
_FOUR_BYTES: Final = re.compile("[\U00010000-\U0010ffff]")
#: MySQL's latin1 is the code page 1252 of Windows. PostgreSQL names code pages by WIN and their number.
_CODECS: Final = {"latin1": "cp1252", "LATIN1": "latin-1"}
_OF_OUR_TEXTS: Final = """
    SELECT character_set_name FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'django_director_task' AND column_name = 'error'
    UNION ALL
    SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = DATABASE()
"""


def storable(text: str) -> str:
    """Return the text in the form that the engine's database can hold.

    Characters that no database takes become a replacement sign, and those that its character set lacks an escape.
    """
    text = storable_text(text)
    if text.isascii():
        return text
    for charset in _character_sets():
        text = _escaped(text, charset)
    return text


def stored_charset() -> str:
    """Return the character set of MySQL's column for errors, or of the database if that table does not exist."""
    with connection().cursor() as cursor:
        cursor.execute(_OF_OUR_TEXTS)
        return str(cursor.fetchone()[0])


def _character_sets() -> list[str]:
    database: Any = connection()
    if database.vendor == "mysql":
        database.ensure_connection()
        return [database.connection.character_set_name(), _kept_charset(director.DATABASE)]
    if database.vendor == "postgresql":
        database.ensure_connection()
        return [str(database.connection.info.parameter_status("server_encoding"))]
    return []


@cache
def _kept_charset(alias: str) -> str:
    return stored_charset()


def _escaped(text: str, charset: str) -> str:
    if charset in WHOLE:
        return text
    if charset in _WITHOUT_FOUR_BYTES:
        return _FOUR_BYTES.sub(lambda found: f"\\U{ord(found[0]):08x}", text)
    try:
        codec = codecs.lookup(_CODECS.get(charset) or charset.replace("WIN", "cp")).name
    except LookupError:
        codec = "ascii"
    return text.encode(codec, "backslashreplace").decode(codec)
