import re

import pytest
from django.contrib.admin.models import LogEntry

from django_director.admin.payload_form import field_key
from django_director.models import Run
from tests import factories
from tests.integration.admin.pages import address, order, text

pytestmark = pytest.mark.django_db(transaction=True)

SCHEMA = {
    "type": "object",
    "properties": {
        "order": {"type": "integer", "minimum": 1, "title": "Order number"},
        "amount": {"type": "number", "default": 5},
        "note": {"type": "string", "maxLength": 5},
        "express": {"type": "boolean"},
        "carrier": {"enum": ["DHL", 7, None]},
        "items": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}},
    },
    "required": ["order"],
}
KEYS = {name: field_key(name) for name in SCHEMA["properties"]}


@pytest.fixture
def workflow():
    return order(schema=SCHEMA)


def submit(client, workflow, **values):
    data = {KEYS.get(name, name): value for name, value in values.items()}
    return client.post(address("workflow_run", workflow.pk), data)


def errors(response):
    """By property: what stands beside its field."""
    names = {key: name for name, key in KEYS.items()}
    assert response.status_code == 400
    assert not Run.objects.exists()
    return {names.get(key, key): list(found) for key, found in response.context["form"].errors.items()}


def test_the_form_shows_fields_defaults_and_help(workflow, operator):
    page = operator.get(address("workflow_run", workflow.pk))
    form = page.context["form"]
    # PostgreSQL keeps the keys of a JSON object in an order of its own.
    assert sorted(field.label for field in form) == [
        "Comment",
        "Order number",
        "amount",
        "carrier",
        "express",
        "items",
        "note",
    ]
    assert form[KEYS["amount"]].initial == 5
    assert form[KEYS["order"]].field.required
    assert "≥ 1" in text(page)
    assert 'type="number"' in text(page)


def test_it_starts_a_run_with_values_of_the_right_types(workflow, operator):
    response = submit(
        operator,
        workflow,
        order="7",
        amount="2.5",
        note="hi",
        express="true",
        carrier="7",
        items='[{"id": 1}]',
        comment="now",
    )
    run = Run.objects.get()
    assert response["Location"] == address("run_change", run.pk)
    assert run.payload == {
        "order": 7,
        "amount": 2.5,
        "note": "hi",
        "express": True,
        "carrier": 7,
        "items": [{"id": 1}],
    }
    assert (run.trigger, run.user, run.comment) == ("admin", operator.user, "now")
    assert LogEntry.objects.get().change_message == "Started (admin)"


def test_what_is_left_empty_is_left_out_and_defaults_come_in(workflow, operator):
    submit(operator, workflow, order="7", carrier="null")
    assert Run.objects.get().payload == {"order": 7, "amount": 5, "carrier": None}


def test_errors_stand_beside_their_field(workflow, operator):
    assert set(errors(submit(operator, workflow, order="", express="maybe", items="{"))) == {
        "order",
        "express",
        "items",
    }
    found = submit(operator, workflow, order="0", note="too long", express="maybe")
    assert set(errors(found)) == {"order", "note", "express"}
    form = found.context["form"]
    fields = [part.key for _, part in form.root.leaves()]
    named = [id_.removeprefix("id_") for id_, _, _ in form.summary()]
    assert named == sorted(named, key=fields.index)
    deep = errors(submit(operator, workflow, order="7", items='[{"id": "x"}]'))
    assert deep["items"][0].startswith("$.items[0].id: ")


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "[" * 100_000, "{'a': 1}"])
def test_what_is_no_json_is_an_error(text, workflow, operator):
    assert set(errors(submit(operator, workflow, order="7", items=text))) == {"items"}


@pytest.mark.parametrize("text", [r'["\u0000"]', r'["\ud800"]', "[1e400]"])
def test_what_no_database_stores_is_an_error(text, workflow, operator):
    assert errors(submit(operator, workflow, order="7", items=text))


def test_entered_values_are_kept(workflow, operator):
    page = text(submit(operator, workflow, order="", note="kept", items="[not json"))
    assert 'value="kept"' in page
    assert "[not json" in page


@pytest.mark.parametrize(
    ("schema", "entered", "payload"),
    [
        (None, "", {}),
        (None, '{"any": ["thing"]}', {"any": ["thing"]}),
        ({"type": "array", "items": {"type": "integer"}}, "[1, 2]", [1, 2]),
        ({"oneOf": [{"type": "object"}, {"type": "null"}]}, "null", None),
        (True, "[]", []),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, '{"a": 1}', {"a": 1}),
    ],
)
def test_other_schemas_get_one_box_for_json(schema, entered, payload, operator):
    workflow = order(schema=schema)
    assert [field.name for field in operator.get(address("workflow_run", workflow.pk)).context["form"]] == [
        "payload",
        "comment",
    ]
    response = operator.post(address("workflow_run", workflow.pk), {"payload": entered})
    if payload is None:
        assert response.status_code in (302, 400)
        return
    assert response.status_code == 302, response.context["form"].errors
    assert Run.objects.get().payload == payload


def test_a_payload_that_does_not_fit_is_told_with_its_path(operator):
    workflow = order(schema={"type": "array", "items": {"type": "integer"}})
    response = operator.post(address("workflow_run", workflow.pk), {"payload": '[1, "two"]'})
    assert response.status_code == 400
    assert "$[1]: " in response.context["form"].errors["payload"][0]


def test_names_with_any_sign_work(operator):
    properties = {"order-id": {"type": "integer"}, "a.b": {"type": "string"}, "__proto__": {"type": "string"}}
    workflow = order(schema={"type": "object", "properties": properties})
    data = dict(zip(map(field_key, properties), "3xy", strict=True))
    assert operator.post(address("workflow_run", workflow.pk), data).status_code == 302
    assert Run.objects.get().payload == {"order-id": 3, "a.b": "x", "__proto__": "y"}


def test_an_inactive_workflow_is_not_started(operator, workflow):
    workflow.is_active = False
    workflow.save(update_fields=["is_active"])
    page = operator.get(address("workflow_run", workflow.pk))
    assert '<form method="post" class="director-form"' not in text(page)
    submit(operator, workflow, order="7")
    assert not Run.objects.exists()


def test_starting_asks_for_its_permission_and_a_token(viewer, client_of, workflow):
    assert viewer.get(address("workflow_run", workflow.pk)).status_code == 403
    assert submit(viewer, workflow, order="7").status_code == 403
    careful = client_of("view_workflow", "run_workflow", name="cora", enforce_csrf_checks=True)
    assert submit(careful, workflow, order="7").status_code == 403
    assert "Run…" not in text(viewer.get(address("workflow_changelist")))
    assert not Run.objects.exists()


SECRETS = {
    "type": "object",
    "properties": {
        "password": {"type": "string", "default": "s3cret-1"},
        "pin": {"type": "integer", "default": 98765},
        "login": {"type": "object", "default": {"user": "ann", "token": "s3cret-2"}},
        "ssn": {"writeOnly": True, "enum": ["s3cret-3", "s3cret-4"], "default": "s3cret-3"},
    },
}


def test_defaults_of_secrets_are_not_shown_and_count_where_they_are_left_alone(operator):
    workflow = order("shop.SECRET", schema=SECRETS)
    url = address("workflow_run", workflow.pk)
    page = operator.get(url)
    assert "s3cret" not in text(page)
    assert "98765" not in text(page)
    form = page.context["form"]
    operator.post(
        url, {name: "" if field.initial is None else field.initial for name, field in form.fields.items()}
    )
    assert Run.objects.get().payload == {name: rule["default"] for name, rule in SECRETS["properties"].items()}


def test_a_default_that_is_hidden_may_be_changed(operator):
    workflow = order("shop.SECRET", schema=SECRETS)
    entered = {"password": "mine", "pin": "5", "login": '{"user": "eve", "token": "********"}', "ssn": "s3cret-4"}
    data = {field_key(name): value for name, value in entered.items()}
    response = operator.post(address("workflow_run", workflow.pk), data | {field_key("ssn"): '"s3cret-4"'})
    assert response.status_code == 302
    login = {"user": "eve", "token": "s3cret-2"}
    assert Run.objects.get().payload == {"password": "mine", "pin": 5, "login": login, "ssn": "s3cret-4"}


ENTERED = {
    "type": "object",
    "properties": {
        "api_key": {"type": "string", "minLength": 3},
        "ssn": {"type": "string", "writeOnly": True},
        "word": {"type": "string", "format": "password"},
        "pin": {"type": "integer"},
        "otp": {},
        "db_password": {"type": "string", "default": "from-the-schema"},
        "total_tokens": {"type": "integer"},
        "note": {"type": "string"},
    },
}


def inputs(page):
    """By property: the attributes of its input."""
    fields = re.findall(r"<(?:input|textarea)\b[^>]*>", text(page))
    found = {re.search(r'name="([^"]*)"', field)[1]: field for field in fields if 'name="property-' in field}
    return {name: found[field_key(name)] for name in ENTERED["properties"]}


def test_a_secret_is_entered_as_a_password(operator):
    workflow = order(schema=ENTERED)
    shown = inputs(operator.get(address("workflow_run", workflow.pk)))
    secret = {name for name, field in shown.items() if 'type="password"' in field}
    assert secret == {"api_key", "ssn", "word", "pin", "otp", "db_password"}
    assert all('autocomplete="new-password"' in shown[name] for name in secret)
    assert 'value="********"' in shown["db_password"]
    assert "from-the-schema" not in "".join(shown.values())


def test_a_secret_is_not_sent_back_by_a_form_with_errors(operator):
    workflow = order(schema=ENTERED)
    values = {"api_key": "¤9", "ssn": "123-45", "pin": "4711", "note": "kept", "db_password": "********"}
    page = operator.post(
        address("workflow_run", workflow.pk), {field_key(name): value for name, value in values.items()}
    )
    assert page.status_code == 400
    shown = inputs(page)
    assert 'value="kept"' in shown["note"]
    assert "¤9" not in text(page)
    assert "123-45" not in text(page)
    assert "4711" not in text(page)
    values["api_key"] = "K97"
    operator.post(address("workflow_run", workflow.pk), {field_key(name): value for name, value in values.items()})
    assert Run.objects.get().payload == {
        "api_key": "K97",
        "ssn": "123-45",
        "pin": 4711,
        "note": "kept",
        "db_password": "from-the-schema",
    }


def test_approvals_of_child_runs_are_told_before_the_start(client_of, settings):
    sign = factories.approval("SIGN", prompt="Pay it?")
    factories.make_workflow(factories.definition("shop.PAY", sign, factories.child("AGAIN", "shop.TOP")))
    factories.make_workflow(factories.definition("shop.MIDDLE", factories.child("PAYS", "shop.PAY")))
    top = factories.make_workflow(factories.definition("shop.TOP", factories.child("DOWN", "shop.MIDDLE")))
    client = client_of("view_workflow", "run_workflow")
    page = text(client.get(address("workflow_run", top.pk)))
    told = page.split("Who must approve")[1].split("</ul>")[0]
    assert "in the child run <bdi>shop.PAY</bdi>: “<bdi>Pay it?</bdi>”" in told
    settings.DIRECTOR = settings.DIRECTOR | {"AUTHORIZE": f"{__name__}.all_but_pay"}
    assert "Pay it?" not in text(client.get(address("workflow_run", top.pk)))


def all_but_pay(user, action, workflow):
    return workflow is None or workflow.name != "shop.PAY"
