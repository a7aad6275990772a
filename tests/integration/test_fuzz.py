"""No request is answered with an error of the server: hostile addresses, queries, headers, bodies on every route.

Routes come from the URL configuration, parameters and fields from the code that reads them, so that none is
forgotten. The quick tests send some requests to each route, the slow ones many; ``DIRECTOR_TEST_EXAMPLES`` says
how many times as many.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

import django_director
from django_director.admin.payload_form import field_key
from django_director.api import serializers
from django_director.api.pagination import PARAMETERS
from django_director.schedules import beat_rows
from tests import factories
from tests.factories import approval, definition, make_workflow
from tests.integration.access.test_matrix import NEEDS, NO_ROUTE, address, routes
from tests.integration.admin.test_filters import MODELS, changelist, local_lookups

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

TIMES = int(os.environ.get("DIRECTOR_TEST_EXAMPLES", "1"))
QUICK, MANY = 8, 200
"""How many requests to each route."""
NOBODY_S = "00000000-0000-7000-8000-000000000000"
DEEP = 100_000
TEXTS = (
    *(
        "",
        " ",
        "x",
        "a\0b",
        "\ud83d",
        "é",
        "\N{RIGHT-TO-LEFT OVERRIDE}",
        "[",
        "(a+)+$",
        "%",
        "' OR 1=1 --",
        "x" * 5_000,
    ),
    *("null", "true", "-1", "0", "9" * 30, "1e999", "nan", "²", "٣", '{"a": 1}', "[" * 200, NOBODY_S, "0" * 32),
    *(
        "2026-02-30",
        "9999999-01-01",
        "0000-00-00T00:00:00",
        "9999-12-31T23:59:59+00:01",
        "0001-01-01T00:00:00+14:00",
    ),
    *("eyJhIjogMX0", "WyJ4Il0", "bnVsbA", "W10", "////", "running,failed,", "../../etc/passwd", "a\r\nX: y"),
)
"""In addresses, queries, headers and fields."""
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 10**30, -(10**400), 1e308, [], {}, [[]], {"a": {"b": []}}, [None] * 1_000),
    *({"\0": 1}, {"\ud83d": 1}, ["\0"], {"": ""}, {"x" * 5_000: 1}, {"payload": {"payload": {}}}, "********"),
)
"""Of JSON, where a text or a number is asked for."""
BODIES = (
    *(
        b"",
        b" ",
        b"{",
        b"null",
        b"[]",
        b"5",
        b'"x"',
        b"true",
        b"\xff\xfe",
        b"\0",
        b"{}{}",
        b"[1,]",
        b"NaN",
        b"-Infinity",
    ),
    *(
        b'{"payload": NaN}',
        b'{"payload": 1e999}',
        b'{"payload": "\\ud83d"}',
        b'{"payload": "\\u0000"}',
        b"1" * 6_000,
    ),
    *(b'{"payload": {}, "payload": {}}', b'{"payload": {"a": 1, "a": 2}}', b'{"\\u0000": 1}', b'{"\\ud83d": 1}'),
    *(b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"payload": ' + b"[" * 900 + b"]" * 900 + b"}"),
    *(
        b'{"payload": {"order": "' + b"a" * 2_000 + b'!"}}',
        "{'payload': é}".encode("utf-16"),
        b"payload=%00&comment=%ff",
    ),
    b"--x\r\nContent-Disposition: form-data; name=payload\r\n\r\n\0\r\n--x--",
)
TYPES = (
    *(
        "application/json",
        "application/json; charset=utf-16",
        "application/json; charset=nothing",
        "text/plain",
        "",
    ),
    *(
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "x" * 500,
        "é",
    ),
)
HEADERS = (
    "Idempotency-Key",
    "Accept",
    "Content-Type",
    "Range",
    "If-Modified-Since",
    "If-None-Match",
)
METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
SCHEMA = {
    "type": "object",
    "properties": {"order": {"pattern": "^(a|aa)+$", "default": "a"}, "n": {"multipleOf": 0.01, "maximum": 1e300}},
    "patternProperties": {"^(x|xx)+$": {"writeOnly": True}},
    "uniqueItems": True,
}
Request = tuple[str, str, dict[str, Any]]


def fields_of_requests() -> set[str]:
    """All fields that any serializer of the API reads."""
    kinds = [kind for kind in vars(serializers).values() if isinstance(kind, type)]
    kinds = [kind for kind in kinds if issubclass(kind, serializers.serializers.Serializer)]
    return {name for kind in kinds for name in kind().fields}


def names_in_admin() -> set[str]:
    """All that the admin's own views read of a query or a form."""
    source = "".join(path.read_text() for path in Path(django_director.__file__).parent.glob("admin/*.py"))
    found = set(re.findall(r'(?:GET|POST)(?:\.get\(|\.getlist\(|\[)"(\w+)"', source))
    return found | set(re.findall(r"^    (\w+) = forms\.\w+Field\(", source, re.MULTILINE)) | {"payload"}


def api_routes() -> list[str]:
    return [route for route in sorted(set(NEEDS)) if route.startswith(NO_ROUTE) and route.endswith("/")]


def admin_routes() -> list[str]:
    return [route for route in sorted(set(NEEDS)) if not route.startswith(NO_ROUTE)]


def of_paths(route: str, rows: dict[str, Any]) -> Iterator[Request]:
    for place in re.findall(r"<[^>]*>", route):
        for text in TEXTS:
            wrong = quote(text.encode(errors="surrogatepass"), safe="")
            other = address(route.replace(place, "PLACE"), rows).replace("PLACE", wrong)
            yield from ((method, other, {}) for method in ("get", "post"))


def of_queries(route: str, rows: dict[str, Any], names: set[str]) -> Iterator[Request]:
    path = address(route, rows)
    for name, text in product(sorted(names | {"format", "unknown", ""}), TEXTS):
        pair = f"{quote(name)}={quote(text.encode(errors='surrogatepass'))}"
        for query in (pair, f"{pair}&{pair}"):
            yield "get", f"{path}?{query}", {}
    yield from (
        ("get", f"{path}?{query}", {}) for query in ("%ff=%ff", "&&&=", "a" * 9_000, "a=1&" * 999, "status=")
    )


def of_methods_and_headers(route: str, rows: dict[str, Any]) -> Iterator[Request]:
    path = address(route, rows)
    yield from ((method, path, {}) for method in METHODS)
    for method, name, text in product(("get", "post"), HEADERS, TEXTS):
        yield method, path, {"headers": {name: text.encode(errors="replace").decode("latin-1")}}


def of_bodies(route: str, rows: dict[str, Any], names: set[str]) -> Iterator[Request]:
    path = address(route, rows)
    for body, kind in product(BODIES, TYPES):
        yield "post", path, {"data": body, "content_type": kind}
    for name, value in product(sorted(names), (*VALUES, *TEXTS)):
        yield "post", path, {"data": json.dumps({name: value}), "content_type": "application/json"}


def of_forms(route: str, rows: dict[str, Any], names: set[str]) -> Iterator[Request]:
    path = address(route, rows)
    texts = [*TEXTS, *(body.decode("latin-1") for body in BODIES), *map(json.dumps, VALUES)]
    for name, text in product(sorted(names), texts):
        yield "post", path, {"data": {name: text.encode(errors="replace").decode()}}
    for body, kind in product(BODIES[::3], TYPES[5:8]):
        yield "post", path, {"data": body, "content_type": kind}


@pytest.fixture
def rows() -> dict[str, Any]:
    workflow = make_workflow(definition("shop.ORDER", "A", approval("ASK"), schema=SCHEMA))
    run = factories.make_run(workflow, "failed", {"A": "failed"}, payload={"order": "a", "password": "Pa55"})
    every = IntervalSchedule.objects.create(every=60, period="seconds")
    named = json.dumps({"name": "shop.ORDER", "payload": {"order": "a"}})
    row = PeriodicTask(name="by hand", task=beat_rows.TASK, interval=every, kwargs=named)
    row.save()
    return {"run": run, "task": run.tasks.get(step="A"), "workflow": workflow, "row": row}


@pytest.fixture
def client() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(factories.make_admin())
    return client


def send(client: Client, requests: list[Request], many: int | None) -> None:
    """Send all requests, or ``many`` chosen ones, and fail for each that the server could not answer."""
    chosen = requests if many is None else random.Random(len(requests)).sample(requests, min(many, len(requests)))
    broken = []
    for method, path, options in chosen:
        # As they are: `post` would encode a body by the charset of its type.
        is_raw = isinstance(options.get("data"), bytes | str)
        call = partial(client.generic, method.upper()) if is_raw else getattr(client, method)
        status = call(path, **options).status_code
        # 503 is what `health/` answers where nothing works.
        if status >= 500 and not (status == 503 and "/health" in path):
            broken.append((status, method, path[:200], str(options)[:200]))
    assert broken == []


def requests_to_api(route: str, rows: dict[str, Any]) -> list[Request]:
    fields = fields_of_requests()
    assert {"payload", "comment", "force", "created_after", "search"} <= fields
    found = [*of_paths(route, rows), *of_queries(route, rows, fields | set(PARAMETERS))]
    found += of_methods_and_headers(route, rows)
    path = address(route, rows)
    for text in ("x", "-1", "9" * 30, "9" * 5_000, "²"):
        found.append(("post", path, {"headers": {"Content-Length": text}}))
    return [*found, *of_bodies(route, rows, fields)] if "post" in NEEDS[route] else found


def requests_to_admin(route: str, rows: dict[str, Any]) -> list[Request]:
    names = names_in_admin()
    assert {"comment", "version", "asked", "payload"} <= names
    found = [*of_paths(route, rows), *of_queries(route, rows, names | {"q", "o", "p", "all"})]
    found += of_methods_and_headers(route, rows)
    more = {*map(field_key, SCHEMA["properties"]), "action", "_selected_action", "index"}  # type: ignore[call-overload]
    return [*found, *of_forms(route, rows, names | more)] if "post" in NEEDS[route] else found


def test_every_route_is_here():
    assert {route for route in routes() if route != NO_ROUTE} <= {*api_routes(), *admin_routes(), *NEEDS}
    assert len(api_routes()) > 15
    assert len(admin_routes()) > 20


def test_some_hostile_requests_to_every_route_of_the_api(client, rows):
    for route in api_routes():
        send(client, requests_to_api(route, rows), QUICK)


def test_some_hostile_requests_to_every_route_of_the_admin(client, rows):
    for route in admin_routes():
        send(client, requests_to_admin(route, rows), QUICK // 2)


@pytest.mark.slow
@pytest.mark.parametrize("route", api_routes())
def test_hostile_requests_to_the_api(client, rows, route):
    send(client, requests_to_api(route, rows), MANY * TIMES)


@pytest.mark.slow
@pytest.mark.parametrize("route", admin_routes())
def test_hostile_requests_to_the_admin(client, rows, route):
    send(client, requests_to_admin(route, rows), MANY // 4 * TIMES)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_look_up_of_every_field_with_hostile_values(client, rows, model):
    names = sorted(set(local_lookups(model)))
    texts = [quote(text.encode(errors="surrogatepass")) for text in TEXTS]
    pairs = [
        (name, texts[(index + turn * 7) % len(texts)]) for index, name in enumerate(names) for turn in range(2)
    ]
    send(client, [("get", f"{changelist(model)}?{name}={text}", {}) for name, text in pairs], None)


@pytest.mark.parametrize("route", [route for route in api_routes() if "post" in NEEDS[route]])
def test_who_may_not_act_learns_nothing_by_a_body(rows, route):
    """The answer comes before the body is read: what is wrong with a body may tell of payloads."""
    client = Client()
    client.force_login(factories.make_user("eve", "view_workflow", "view_run", "view_task"))
    path = address(route, rows)
    kinds = {"content_type": "application/json"}
    answers = {
        (answer.status_code, answer.content)
        for body in (b"{}", b"{", b"[" * DEEP, b'{"payload": {"order": "' + b"a" * 2_000 + b'!"}}', b'{"x": 1}')
        for answer in [client.post(path, body, **kinds)]
    }
    assert len(answers) == 1
    assert answers.pop()[0] in (403, 404)
