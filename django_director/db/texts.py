"""What people and tasks say, as the database can hold it: backslash escapes for what its character set lacks.

MySQL refuses such a text, or cuts it where it is not strict; PostgreSQL refuses it. JSON needs none of this, it is
written in ASCII.
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
"""Character sets with every character, or that look at none."""
_WITHOUT_FOUR_BYTES: Final = frozenset({"utf8", "utf8mb3", "ucs2"})
_FOUR_BYTES: Final = re.compile("[\U00010000-\U0010ffff]")
#: MySQL's latin1 is Windows' form of it; PostgreSQL calls code pages WIN and a number.
_CODECS: Final = {"latin1": "cp1252", "LATIN1": "latin-1"}
_OF_OUR_TEXTS: Final = """
    SELECT character_set_name FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'django_director_task' AND column_name = 'error'
    UNION ALL
    SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = DATABASE()
"""


def storable(text: str) -> str:
    """The text as the database can hold it; what no database takes has a sign in its place."""
    text = storable_text(text)
    if text.isascii():
        return text
    for charset in _character_sets():
        text = _escaped(text, charset)
    return text


def stored_charset() -> str:
    """MySQL's character set of the column for errors, or of the database while it has no such table."""
    with connection().cursor() as cursor:
        cursor.execute(_OF_OUR_TEXTS)
        return str(cursor.fetchone()[0])


def _character_sets() -> list[str]:
    database: Any = connection()
    if database.vendor == "mysql":
        database.ensure_connection()
        return [database.connection.character_set_name(), _known(director.DATABASE)]
    if database.vendor == "postgresql":
        database.ensure_connection()
        return [str(database.connection.info.parameter_status("server_encoding"))]
    return []


@cache
def _known(alias: str) -> str:
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
