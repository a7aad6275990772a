"""How long the lists and pages of people take in a database with many runs, with filters that few rows fit."""

from __future__ import annotations

import sys
import time
from functools import partial
from statistics import median
from typing import Any

from benchmarks import addresses, crowd
from benchmarks.places import Places
from benchmarks.report import Outcome, ms

ROUNDS = 5


def run(places: Places, repeat: int) -> Outcome:
    """Fill the database with ``--finished`` runs, and ask for each page several times, in this process."""
    outcome = Outcome()
    if not places.database.startswith("postgres"):
        print("pages: left out, its rows are made by PostgreSQL", file=sys.stderr)
        return outcome
    began = time.monotonic()
    crowd.fill(places.finished)
    print(f"pages: {places.finished:,} runs made in {time.monotonic() - began:.0f} s", flush=True)
    client = _client()
    rows = []
    slowest = 0.0
    for title, address in addresses.all_of_them().items():
        queries = _queries(client, address)
        seconds = median(_seconds(partial(client.get, address)) for _ in range(max(repeat, ROUNDS)))
        asked = median(_asked(client, address) for _ in range(3))
        slowest = max(slowest, asked)
        rows.append([title, ms(seconds), ms(asked), str(queries)])
    head = ["", "p50 ms", "database ms", "queries"]
    outcome.table(f"Pages with {places.finished:,} runs of {crowd.TASKS} tasks", head, rows)
    outcome.figures["pages.slowest_database_ms"] = slowest * 1000
    return outcome


def _client() -> Any:
    from django.contrib.auth import get_user_model
    from django.test import Client
    from rest_framework.authtoken.models import Token

    user = get_user_model().objects.create_superuser("pages")
    token = Token.objects.create(user=user)
    client = Client(headers={"host": "127.0.0.1", "authorization": f"Token {token.key}"})
    client.force_login(user)
    return client


def _queries(client: Any, address: str) -> int:
    """Return how many queries a page takes; it is the first time that this page is asked for."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        answer = client.get(address)
    if answer.status_code != 200:
        raise RuntimeError(f"{address}: {answer.status_code} {answer.content[:300]!r}")
    return len(captured)


def _asked(client: Any, address: str) -> float:
    """Return how many seconds the queries of a page take."""
    from django.db import connection

    spent = 0.0

    def timed(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        nonlocal spent
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            spent += time.perf_counter() - began

    with connection.execute_wrapper(timed):
        client.get(address)
    return spent


def _seconds(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
