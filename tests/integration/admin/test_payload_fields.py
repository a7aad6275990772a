"""The form that starts a run: a field for each kind of value, all errors in one round, rows without JavaScript."""

import json
import re

import pytest
from django.http import QueryDict
from django.utils import timezone
from django.utils.http import urlencode

from django_director.admin.payload_form import PayloadForm, field_key
from django_director.definitions import Concurrency
from django_director.models import Run
from tests import factories
from tests.factories import definition, group, make_run, make_workflow
from tests.integration.admin.pages import Page, address, order, text

pytestmark = pytest.mark.django_db(transaction=True)

SCHEMA = {
    "type": "object",
    "required": ["customer", "urgent"],
    "properties": {
        "customer": {"$ref": "#/$defs/person", "title": "Customer"},
        "day": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "clock": {"type": "string", "format": "time"},
        "page": {"type": "string", "format": "uri"},
        "word": {"type": "string", "format": "password"},
        "note": {"type": "string", "maxLength": 2_000},
        "urgent": {"type": "boolean"},
        "numbers": {"type": "array", "items": {"type": "integer", "minimum": 1}, "uniqueItems": True},
        "colours": {"type": "array", "items": {"enum": ["red", "green"]}, "uniqueItems": True},
        "lines": {
            "type": "array",
            "maxItems": 3,
            "items": {
                "type": "object",
                "required": ["sku"],
                "properties": {"sku": {"type": "string"}, "number": {"type": "integer", "default": 1}},
            },
        },
        "rest": {"anyOf": [{"type": "string"}, {"type": "array"}]},
        "nick": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "$defs": {
        "person": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 2},
                "email": {"type": "string", "format": "email"},
                "address": {
                    "type": "object",
                    "required": ["city"],
                    "properties": {"city": {"type": "string"}, "street": {"type": "string"}},
                },
            },
        }
    },
}
LINES = f"rows-{field_key('lines')}"


@pytest.fixture
def url():
    return address("workflow_run", order(schema=SCHEMA).pk)


def sent(values, rows=()):
    """``values`` by path, such as ``customer.name`` or ``lines.0.sku``."""
    fields = {field_key(*path.split(".")) if path[0] != "!" else path[1:]: v for path, v in values.items()}
    return fields | {LINES: [str(number) for number in rows]}


def errors(response):
    assert response.status_code == 400
    form = response.context["form"]
    return {label: error for _id, label, error in form.summary()} | {"": [str(e) for e in form.non_field_errors()]}


def inputs(page):
    found = re.findall(r"<(?:input|textarea|select)\b[^>]*>", text(page))
    return {re.search(r'name="([^"]*)"', one)[1]: one for one in found if 'name="' in one}


def test_each_kind_of_value_has_its_field_in_the_order_of_the_file(url, operator):
    page = operator.get(url)
    shown = inputs(page)
    kinds = {"day": "date", "at": "datetime-local", "clock": "time", "page": "url", "word": "password"}
    for name, kind in (kinds | {"urgent": "checkbox"}).items():
        assert f'type="{kind}"' in shown[field_key(name)], name
    assert 'type="email"' in shown[field_key("customer", "email")]
    assert "<textarea" in shown[field_key("note")]
    assert "<textarea" in shown[field_key("numbers")]
    assert "<textarea" in shown[field_key("rest")]
    labels = [part.label for part in page.context["form"].root.members]
    assert labels == ["Customer", *list(SCHEMA["properties"])[1:]]
    assert not Page(text(page)).forbidden


def test_a_run_starts_with_what_was_entered(url, operator):
    values = {
        "customer.name": "Ann",
        "customer.email": "",
        "day": "2026-01-31",
        "at": "2026-01-31T14:30",
        "clock": "14:30",
        "word": "w0rd",
        "note": "two\r\nlines",
        "numbers": "7\r\n\r\n9\r\n",
        "colours": ['"red"'],
        "lines.0.sku": "A",
        "lines.4.sku": "B",
        "lines.4.number": "3",
        "rest": '["x"]',
    }
    response = operator.post(url, sent(values, [0, 4]))
    assert response.status_code == 302, response.context["form"].errors
    payload = Run.objects.get().payload
    entered = timezone.make_aware(timezone.datetime(2026, 1, 31, 14, 30)).isoformat()
    assert payload == {
        "customer": {"name": "Ann"},
        "day": "2026-01-31",
        "at": entered,
        "clock": "14:30",
        "word": "w0rd",
        "note": "two\nlines",
        "urgent": False,
        "numbers": [7, 9],
        "colours": ["red"],
        "lines": [{"sku": "A", "number": 1}, {"sku": "B", "number": 3}],
        "rest": ["x"],
    }


def test_all_errors_are_told_at_once_beside_their_fields_in_plain_words(url, operator):
    values = {
        "customer.name": "A",
        "customer.email": "ann",
        "customer.address.street": "High Street",
        "day": "2026-02-30",
        "clock": "25:99",
        "numbers": "5\nfive\n0",
        "lines.0.number": "three",
        "rest": "{",
        "word": "s3cret",
    }
    response = operator.post(url, sent(values, [0]))
    assert errors(response) == {
        "Customer › name": "Enter at least 2 characters.",  # noqa: RUF001
        "Customer › email": "Enter an e-mail address, such as name@example.com.",  # noqa: RUF001
        "Customer › address › city": "This field is required.",  # noqa: RUF001
        "day": "Enter a day, such as 2026-01-31.",
        "clock": "Enter a time of day, such as 14:30.",
        "numbers": "Line 2: Enter a whole number.",
        "lines, entry 1 › sku": "This field is required.",  # noqa: RUF001
        "lines, entry 1 › number": "Enter a whole number.",  # noqa: RUF001
        "rest": response.context["form"].errors[field_key("rest")][0],
        "": [],
    }
    page = text(response)
    for id_, _label, _error in response.context["form"].summary():
        assert f'href="#{id_}"' in page
        assert f'id="{id_}"' in page
    assert "s3cret" not in page
    assert "High Street" in page
    assert not Run.objects.exists()
    again = operator.post(
        url, sent({"customer.name": "Ann", "numbers": "5\n0\n5", "lines.0.sku": "A"}, [0, 1, 2, 3])
    )
    assert errors(again)["numbers"] in ("Entry 2: It must be 1 or more.", "The same entry stands here twice.")
    assert errors(again)["lines"] == "At most 3 entries are allowed."


def test_rows_are_added_and_taken_away_without_javascript(url, operator):
    values = {"customer.name": "Ann", "lines.0.sku": "A", "lines.1.sku": "B"}
    page = operator.post(url, sent(values, [0, 1]) | {"add": LINES})
    assert page.status_code == 200
    assert list(page.context["form"].root.named["lines"].rows) == ["0", "1", "2"]
    assert 'value="A"' in text(page)
    assert "errorlist" not in text(page)
    assert 'name="add"' not in text(page), "three are the most"
    page = operator.post(url, sent(values, [0, 1, 2]) | {"remove": f"{LINES}:0"})
    assert list(page.context["form"].root.named["lines"].rows) == ["1", "2"]
    assert 'value="A"' not in text(page)
    assert 'value="B"' in text(page)
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("name", "value"), [("add", "nonsense"), ("remove", ":"), ("remove", f"{LINES}:x"), ("add", "")]
)
def test_a_button_that_is_none_changes_nothing(name, value, url, operator):
    assert operator.post(url, sent({}, ["0", "x", "-1", "9" * 40, "²"]) | {name: value}).status_code == 200


def test_the_form_begins_as_the_last_run_without_its_secrets(url, operator, client_of):
    workflow = order(schema=SCHEMA)
    payload = {
        "customer": {"name": "Ann", "address": {"city": "Ulm"}},
        "at": "2026-01-31T13:30:00.5Z",
        "word": "w0rd",
        "urgent": True,
        "lines": [{"sku": "A", "number": 2}],
        "rest": ["x"],
        "nick": None,
    }
    run = make_run(workflow, "success", payload=payload)
    assert f"?from={run.pk}" in text(operator.get(url))
    page = operator.get(f"{url}?from={run.pk}")
    shown = inputs(page)
    assert "w0rd" not in text(page)
    assert 'value="Ann"' in shown[field_key("customer", "name")]
    assert 'value="2"' in shown[field_key("lines", "0", "number")]
    data = {name: field.initial for name, field in page.context["form"].fields.items()}
    data = {name: value for name, value in data.items() if value not in (None, False)} | {field_key("word"): "new"}
    assert operator.post(f"{url}?from={run.pk}", data).status_code == 302
    assert Run.objects.exclude(pk=run.pk).get().payload == payload | {"word": "new"}
    blind = client_of("view_workflow", "view_run", "run_workflow", name="bob")
    assert "?from=" not in text(blind.get(url))
    assert "Ann" not in text(blind.get(f"{url}?from={run.pk}"))
    other = make_run(make_workflow("shop.OTHER"), "success", payload={"customer": {"name": "Eve"}})
    assert "Eve" not in text(operator.get(f"{url}?from={other.pk}"))


def test_a_box_without_a_tick_never_comes_to_be_true(operator):
    row = {"type": "object", "properties": {"on": {"type": "boolean", "default": True}, "n": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"rows": {"type": "array", "items": row}, **row["properties"]}}
    url = address("workflow_run", order(schema=schema).pk)
    assert operator.get(url).context["form"][field_key("on")].initial is True
    data = {f"rows-{field_key('rows')}": ["0", "1"], field_key("rows", "0", "on"): "false"}
    assert operator.post(url, data).status_code == 302
    assert Run.objects.get().payload == {"rows": [{"on": False}, {"on": True}], "on": False}


def test_secrets_in_rows_stay_with_their_rows_when_a_run_is_relaunched(operator):
    row = {"type": "object", "properties": {"id": {"type": "integer"}, "token": {"type": "string"}}}
    schema = {"type": "object", "properties": {"logins": {"type": "array", "items": row}}}
    rows = [{"id": 1, "token": "t-one"}, {"id": 2, "token": "t-two"}]
    run = make_run(make_workflow(definition(schema=schema)), "success", payload={"logins": rows})
    url, key = address("run_relaunch_with_changes", run.pk), f"rows-{field_key('logins')}"
    page = operator.get(url)
    assert "t-one" not in text(page)
    data = {key: ["1", "2"], field_key("logins", "1", "id"): "5", field_key("logins", "1", "token"): "********"}
    data |= {field_key("logins", "2", "id"): "3", field_key("logins", "2", "token"): "mine"}
    assert operator.post(url, data).status_code == 302
    assert Run.objects.exclude(pk=run.pk).get().payload == {
        "logins": [{"id": 5, "token": "t-two"}, {"id": 3, "token": "mine"}]
    }


def test_it_tells_what_will_run_who_must_approve_and_for_what_it_waits(operator, django_assert_max_num_queries):
    steps = (
        "FETCH",
        group("CHECKS", "STOCK", "PRICE"),
        factories.approval("SIGN_OFF", prompt="Ship it?"),
        factories.mapped("EACH", over="payload.ids"),
        factories.child("PAY", "shop.PAY"),
    )
    hooks = {"failure": (factories.step("MAIL"),)}
    schema = {"type": "object", "properties": {"n": {"type": "integer", "default": 4}, "pin": {"type": "integer"}}}
    options = {"hooks": hooks, "allowed_groups": ("ops",), "schema": schema, "concurrency": Concurrency()}
    described = definition("shop.ORDER", *steps, **options)
    workflow = make_workflow(described)
    url = address("workflow_run", workflow.pk)
    operator.user.groups.create(name="ops")
    with django_assert_max_num_queries(11):
        page = operator.get(url)
    shown = re.sub(r"<[^>]*>|\s+", " ", text(page))
    for words in (
        "6 steps",
        "at the same time",
        "once for each entry",
        "runs the workflow shop.PAY",
        "Ship it?",
        "ops",
    ):
        assert words in shown, words
    assert re.search(r"After a failure:\s+MAIL", shown)
    assert "it starts at once" in shown
    running = make_run(workflow, "running", slot=0, queued_at=timezone.now(), concurrency_key="")
    page = operator.post(url, {field_key("pin"): "4711", "check": "Check"})
    assert page.status_code == 200
    assert "it would wait" in text(page)
    assert str(running.pk) in text(page)
    assert "4711" not in text(page)
    payload = json.loads(page.context["preview"]["payload"].text)
    assert payload == {"n": 4, "pin": "********"}
    assert Run.objects.count() == 1


HOSTILE = (
    {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(200)}},
    {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(2_000)}},
    {
        "type": "object",
        "properties": {"a": True, "b": False, "c": {}, "d": {"$ref": "#/$defs/x"}},
        "$defs": {"x": True},
    },
    {
        "type": "object",
        "properties": {"me": {"$ref": "#"}, "us": {"type": "array", "items": {"$ref": "#"}}, "n": {}},
    },
    {"type": "object", "properties": {f"p{n}": {"$ref": "#"} for n in range(30)}},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "properties": {"<b>\u202e\n": {"title": "x" * 500}}}}},
    {"type": "object", "properties": {"": {"type": "string"}, "\0rest": {"type": "integer"}}, "minProperties": 1},
    {"type": "object", "properties": {"a": {"type": ["integer", "string", "null"]}}, "additionalProperties": {}},
    {"type": "object", "properties": {"a": {"allOf": [{"type": "array", "prefixItems": [{}], "items": False}]}}},
    {
        "type": "object",
        "properties": {"a": {"enum": [None, True, 1.5, {"x": 1}]}, "b": {"const": []}},
        "oneOf": [{}],
    },
    {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "array", "minItems": 10**30}}}},
    {
        "type": "object",
        "properties": {"a": {"type": "number", "minimum": -1e308, "multipleOf": 0.1, "default": 0.3}},
    },
    {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}},
    {"properties": {"a": {"type": "integer"}}, "if": {"required": ["a"]}, "then": {"required": ["b"]}},
    False,
)


@pytest.mark.parametrize("schema", HOSTILE, ids=range(len(HOSTILE)))
def test_no_schema_is_an_error_of_the_server(schema, operator):
    url = address("workflow_run", order(schema=schema).pk)
    page = operator.get(url)
    assert page.status_code == 200
    assert not Page(text(page)).forbidden
    assert len(page.context["form"].fields) < 1_000
    assert "\u202e" not in text(page)
    names = list(page.context["form"].fields)
    for value in ("", "x", "null", "[1]", '{"a": {"b": 1}}', "²", "9" * 400):
        answer = operator.post(url, dict.fromkeys(names, value))
        assert answer.status_code in (302, 400)


def test_what_the_form_shows_is_what_a_run_gets_when_nothing_is_changed():
    """For any payload of the schema: the form, sent as it is shown, gives it back."""
    payloads = [
        {"customer": {"name": "Ann"}, "urgent": True},
        {"customer": {"name": "A\r\nB"}, "urgent": False, "at": "2026-03-29T02:30:00.123456-11:30"},
        {
            "customer": {"name": "x", "address": {"city": "y"}},
            "urgent": False,
            "lines": [],
            "numbers": [],
            "colours": [],
        },
        {
            "customer": {"name": "x"},
            "urgent": False,
            "numbers": [1, 2**60],
            "colours": ["green", "red"],
            "nick": "",
            "rest": "",
        },
        {
            "customer": {"name": " x "},
            "urgent": True,
            "lines": [{"sku": "a"}, {}, {"sku": None}],
            "day": "soon",
            "clock": "1",
        },
        {"customer": {"name": "x", "more": 1}, "urgent": True, "lines": [{"sku": "a", "other": 2}]},
    ]
    for payload in payloads:
        shown = PayloadForm(SCHEMA, given=payload, real=payload)
        values = {name: f.initial for name, f in shown.fields.items() if f.initial not in (None, False)}
        form = PayloadForm(SCHEMA, QueryDict(urlencode(values, doseq=True)), given=payload, real=payload)
        # Not all of the payloads fit the schema, of which only the fields are tried here.
        form.schema = None
        form.full_clean()
        assert form.payload == payload, payload


ANCHORS = [
    # A part of a schema, what it needs besides, and how many fields the form has for it.
    ({"$ref": "#sec"}, {"$defs": {"A": {"$anchor": "sec", "type": "string", "format": "password"}}}, 1),
    ({"$ref": "#sec"}, {"$defs": {"A": {"$anchor": "sec", **SCHEMA["$defs"]["person"]}}}, 4),
    ({"$ref": "#/x-parts/0"}, {"x-parts": [{"type": "object", "properties": {"x": {}, "y": {}}}]}, 2),
    ({"allOf": [{"$ref": "b"}]}, {"$id": "http://x/", "$defs": {"A": {"$id": "b", "properties": {"x": {}}}}}, 1),
    (
        {
            "allOf": [
                {"$id": "c", "$ref": "#/$defs/d", "$defs": {"d": {"type": "object", "properties": {"x": {}}}}}
            ]
        },
        {"$id": "http://x/", "$defs": {"d": {"type": "object", "properties": {"x": {}, "y": {}}}}},
        1,
    ),
    ({"$ref": "#nowhere"}, {}, 1),
    ({"$ref": "other"}, {}, 1),
    ({"type": "object", "properties": {"a": {}, "b": {}}, "$dynamicRef": "#x"}, {}, 1),
]


@pytest.mark.parametrize(("part", "more", "count"), ANCHORS)
def test_a_reference_leads_to_its_own_field_or_to_one_for_json(part, more, count):
    schema = {"type": "object", "properties": {"first": {"type": "string"}, "anch": part}, **more}
    fields = PayloadForm(schema).fields
    assert field_key("first") in fields
    found = [key for key, field in fields.items() if key.startswith("property-") and key != field_key("first")]
    assert len(found) == count
    if more.get("$defs", {}).get("A", {}).get("format") == "password":
        assert type(fields[field_key("anch")]).__name__ == "SecretField"
