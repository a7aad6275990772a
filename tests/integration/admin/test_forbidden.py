"""Who may not do something is told what is missing, on a page of the admin."""

import pytest

from django_director.access import authorization
from tests import factories
from tests.asking import asked
from tests.factories import approval
from tests.integration.admin.pages import Page, address, order, text

pytestmark = pytest.mark.django_db(transaction=True)


def refused(client, page, *args, method="get"):
    response = getattr(client, method)(address(page, *args))
    assert response.status_code == 403
    source = text(response)
    assert 'class="breadcrumbs"' in source
    assert Page(source).forbidden == []
    return source.split('role="alert"')[1].split("</p>")[0]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("name", "permission"), [("cancel", "cancel_run"), ("pause", "cancel_run"), ("retry", "retry_run")]
)
def test_an_operation_on_a_run(viewer, name, permission, method):
    run = factories.make_run(order(), "failed")
    assert f"<code>django_director.{permission}</code>" in refused(viewer, f"run_{name}", run.pk, method=method)


def test_a_relaunch_with_changes_needs_to_see_the_payload(client_of):
    client = client_of("view_run", "retry_run", "run_workflow")
    run = factories.make_run(order(), "failed")
    assert "<code>django_director.view_payload</code>" in refused(client, "run_relaunch_with_changes", run.pk)


def test_an_operation_on_a_task(viewer):
    task = factories.make_run(order(), "failed", {"FETCH": "failed"}).tasks.get(step="FETCH")
    assert "<code>django_director.retry_run</code>" in refused(viewer, "task_skip", task.pk)


def test_a_decision_names_the_permission_of_the_approval(viewer):
    _, task = asked(approval("OK", permission="auth.view_group"), "SHIP")
    assert "<code>auth.view_group</code>" in refused(viewer, "task_approve", task.pk)


def test_the_groups_of_a_workflow(operator):
    workflow = factories.make_workflow(factories.definition("shop.ORDER", allowed_groups=("sales",)))
    assert "<code>one of the groups sales</code>" in refused(operator, "workflow_run", workflow.pk)


@pytest.mark.parametrize("model", ["workflow", "run", "task"])
def test_lists_pages_and_histories(client_of, model):
    client = client_of(name="bob")
    run = factories.make_run()
    pk = {"workflow": run.workflow_id, "run": run.pk, "task": run.tasks.first().pk}[model]
    permission = f"<code>django_director.view_{model}</code>"
    assert permission in refused(client, f"{model}_changelist")
    for page in ("change", "history"):
        shown = refused(client, f"{model}_{page}", pk)
        assert permission in shown
        assert run.workflow.name not in shown


def test_who_may_not_look_learns_no_more_than_that(client_of):
    run = factories.make_run(
        factories.make_workflow(factories.definition("shop.SECRET", allowed_groups=("spies",)))
    )
    client = client_of("cancel_run", name="bob")
    shown = refused(client, "run_cancel", run.pk)
    assert "<code>django_director.view_run</code>" in shown
    assert "spies" not in shown


def test_where_the_project_decides_no_permission_is_named(viewer, settings):
    settings.DIRECTOR = settings.DIRECTOR | {"AUTHORIZE": f"{__name__}.only_looking"}
    run = factories.make_run(order(), "failed")
    shown = refused(viewer, "run_cancel", run.pk)
    assert "rules of its own" in shown
    assert "cancel_run" not in shown


def only_looking(user, action, workflow):
    return action.startswith("view")


def test_who_is_no_member_of_staff_signs_in(client_of):
    run = factories.make_run()
    client = client_of("view_run")
    client.user.is_staff = False
    client.user.save(update_fields=["is_staff"])
    response = client.get(address("run_cancel", run.pk))
    assert response.status_code == 302
    assert "/login/" in response.url


@pytest.mark.parametrize(
    ("given", "reason"), [({"AUTHORIZE": "no.such.fn"}, "No module named"), ({"MASK": "("}, "missing )")]
)
def test_settings_that_can_not_be_used_are_told_and_the_rest_of_the_admin_works(operator, settings, given, reason):
    run = factories.make_run()
    settings.DIRECTOR = settings.DIRECTOR | given
    for page, args in [("run_changelist", ()), ("run_change", (run.pk,)), ("run_cancel", (run.pk,))]:
        response = operator.get(address(page, *args))
        assert response.status_code == 503
        assert reason in text(response).split('role="alert"')[1].split("</p>")[0]
    assert operator.get("/admin/").status_code == 200


def raises_for_any(user, action, workflow):
    return workflow.name.startswith("shop.")


def test_a_function_of_the_project_that_raises_means_no_and_says_so_once(operator, settings, caplog):
    run = factories.make_run()
    settings.DIRECTOR = settings.DIRECTOR | {"AUTHORIZE": f"{__name__}.raises_for_any"}
    authorization.raised.reset()
    index = operator.get("/admin/")
    assert index.status_code == 200
    assert "django_director" not in text(index)
    assert operator.get(address("run_changelist")).status_code == 403
    assert operator.get(address("run_change", run.pk)).status_code == 200
    (line,) = [record for record in caplog.records if record.name == "django_director.access.authorization"]
    assert line.levelname == "ERROR"
    assert "AUTHORIZE" in line.getMessage()
    assert "'NoneType' object has no attribute 'name'" in caplog.text
