"""Errors of the database by what they are about, statements by what they leave behind, texts by character set."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError

from django_director.db.errors import is_contention, is_of_data
from django_director.db.sessions import changes_session
from django_director.db.texts import _escaped


def postgresql(kind: type[Exception], state: str) -> Any:
    error, cause = kind("as asked"), Exception("as asked")
    cause.sqlstate = state  # type: ignore[attr-defined]
    error.__cause__ = cause
    return error


def mysql(kind: type[Exception], number: int) -> Any:
    error = kind(number, "as asked")
    error.__cause__ = Exception(number, "as asked")
    return error


def sqlite(kind: type[Exception], code: int) -> Any:
    error, cause = kind("as asked"), Exception("as asked")
    cause.sqlite_errorcode = code  # type: ignore[attr-defined]
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "of_data"),
    [
        (postgresql(DataError, "22001"), True),
        (postgresql(DataError, "22P05"), True),
        (postgresql(IntegrityError, "23505"), True),
        (postgresql(OperationalError, "54000"), True),
        (postgresql(OperationalError, "57014"), False),
        (postgresql(OperationalError, "53100"), False),
        (postgresql(OperationalError, "53300"), False),
        (postgresql(OperationalError, "25006"), False),
        (postgresql(OperationalError, "57P01"), False),
        (postgresql(ProgrammingError, "42703"), False),
        (postgresql(ProgrammingError, "42501"), False),
        (mysql(DataError, 1406), True),
        (mysql(OperationalError, 1366), True),
        (mysql(IntegrityError, 1062), True),
        (mysql(OperationalError, 1153), True),
        (mysql(OperationalError, 4025), True),
        (mysql(OperationalError, 1290), False),
        (mysql(OperationalError, 1969), False),
        (mysql(OperationalError, 2013), False),
        (mysql(ProgrammingError, 1146), False),
        (sqlite(DataError, 18), True),
        (sqlite(IntegrityError, 19 | (8 << 8)), True),
        (sqlite(OperationalError, 13), False),
        (sqlite(OperationalError, 8), False),
        (OperationalError("connection refused"), False),
        (InterfaceError("connection already closed"), False),
        (UnicodeEncodeError("latin-1", "x", 0, 1, "no"), True),
        (ValueError("as asked"), False),
    ],
)
def test_what_an_error_is_about(error: Exception, of_data: bool):
    assert is_of_data(error) is of_data


@pytest.mark.parametrize(
    ("error", "others"),
    [
        (postgresql(OperationalError, "40001"), True),
        # It has waited for as long as it shall.
        (postgresql(OperationalError, "55P03"), False),
        (mysql(OperationalError, 1213), True),
        (OperationalError("database is locked"), True),
        (postgresql(OperationalError, "57014"), False),
    ],
)
def test_contention(error: Any, others: bool):
    assert is_contention(error) is others


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        ('SELECT "a" FROM "b" WHERE "c" = %s', False),
        ("  (select 1) UNION (select 2)", False),
        ("UPDATE a SET b = 1", False),
        ("BEGIN", False),
        ("SET search_path TO b", True),
        ("set role b", True),
        ("SELECT set_config('search_path', 'b', false)", True),
        ("SELECT 1; SET ROLE b", True),
        ("SELECT 1;", False),
        ("/* a */ SET ROLE b", True),
        ("CREATE TEMP TABLE a (b int)", True),
        ("PRAGMA query_only = 1", True),
        ("LOCK TABLES a READ", True),
        (b"SELECT 1", True),
        ("", True),
    ],
)
def test_what_may_be_left_in_a_session(statement: Any, changes: bool):
    assert changes_session(statement) is changes


@pytest.mark.parametrize(
    ("charset", "stored"),
    [
        ("utf8mb4", "ä日😀"),
        ("UTF8", "ä日😀"),
        ("SQL_ASCII", "ä日😀"),
        ("utf8mb3", "ä日\\U0001f600"),
        ("latin1", "ä\\u65e5\\U0001f600"),
        ("LATIN1", "ä\\u65e5\\U0001f600"),
        ("WIN1252", "ä\\u65e5\\U0001f600"),
        ("EUC_KR", "\\xe4日\\U0001f600"),
        ("ascii", "\\xe4\\u65e5\\U0001f600"),
        ("nobody knows", "\\xe4\\u65e5\\U0001f600"),
    ],
)
def test_what_a_character_set_lacks_is_escaped(charset: str, stored: str):
    assert _escaped("ä日😀", charset) == stored
