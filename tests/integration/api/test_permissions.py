import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.test import Client
from rest_framework.test import APIClient

from django_director.access import authorization
from django_director.models import Run
from tests import factories

pytestmark = pytest.mark.django_db

API = "/director/api"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def run():
    return factories.make_run(status="failed", tasks={"A": "failed"})


def routes(run):
    task = run.tasks.first()
    return [
        ("get", "workflows/", "view_workflow"),
        ("get", "workflows/shop.ORDER/", "view_workflow"),
        ("post", "workflows/shop.ORDER/runs/", "run_workflow"),
        ("get", "runs/", "view_run"),
        ("get", f"runs/{run.pk}/", "view_run"),
        ("get", f"runs/{run.pk}/tasks/", "view_task"),
        ("get", f"runs/{run.pk}/graph/", "view_task"),
        ("post", f"runs/{run.pk}/cancel/", "cancel_run"),
        ("post", f"runs/{run.pk}/pause/", "cancel_run"),
        ("post", f"runs/{run.pk}/resume/", "cancel_run"),
        ("post", f"runs/{run.pk}/retry/", "retry_run"),
        ("post", f"runs/{run.pk}/relaunch/", "retry_run"),
        ("get", f"tasks/{task.pk}/", "view_task"),
        ("post", f"tasks/{task.pk}/rerun/", "retry_run"),
        ("post", f"tasks/{task.pk}/skip/", "retry_run"),
    ]


def test_nobody_enters_without_signing_in(run):
    for method, path, _ in routes(run):
        response = getattr(APIClient(), method)(f"{API}/{path}")
        assert response.status_code in (401, 403), path
    assert Run.objects.count() == 1


def test_each_action_needs_its_permission(run, client_of):
    every = {permission for _, _, permission in routes(run)} - {None}
    for number, (method, path, permission) in enumerate(routes(run)):
        if permission is None:
            continue
        without = client_of(*(every - {permission}), name=f"without-{number}")
        response = getattr(without, method)(f"{API}/{path}")
        assert response.status_code == 403, path
        assert permission in response.json()["detail"]
        client = client_of(permission, name=f"with-{number}")
        assert getattr(client, method)(f"{API}/{path}").status_code in (200, 201, 409), path


def test_state_changes_by_post_only(run, operator):
    for method, path, _ in routes(run):
        if method == "post":
            assert operator.get(f"{API}/{path}").status_code == 405, path
        else:
            assert operator.post(f"{API}/{path}").status_code == 405, path


def test_a_session_needs_the_csrf_token(run):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(factories.make_admin())
    response = browser.post(f"{API}/runs/{run.pk}/retry/")
    assert response.status_code == 403
    assert Run.objects.get().status == "failed"


def only_mail(user, action, workflow):
    return workflow is not None and workflow.name == "shop.MAIL"


def test_the_project_may_decide_itself(run, client_of, settings):
    mail = factories.make_run(factories.make_workflow("shop.MAIL"))
    settings.DIRECTOR = {"AUTHORIZE": f"{__name__}.only_mail"}
    client = client_of()
    assert [listed["id"] for listed in client.get(f"{API}/runs/").json()["results"]] == [str(mail.pk)]
    assert [workflow["name"] for workflow in client.get(f"{API}/workflows/").json()] == ["shop.MAIL"]
    assert client.get(f"{API}/runs/{mail.pk}/").status_code == 200
    # As if it were not there: a 403 would tell that it is.
    assert client.get(f"{API}/runs/{run.pk}/").status_code == 404


def test_a_wrong_authorize_refuses_and_says_so(run, operator, settings):
    settings.DIRECTOR = {"AUTHORIZE": "nowhere.at_all"}
    response = operator.get(f"{API}/runs/{run.pk}/")
    assert response.status_code == 503
    assert "AUTHORIZE" in response.json()["detail"]


def refuses_to_say(user, action, workflow):
    raise RuntimeError("no answer")


def says_no_as_django_does(user, action, workflow):
    raise PermissionDenied


@pytest.mark.parametrize(("function", "lines"), [(refuses_to_say, 1), (says_no_as_django_does, 0)])
def test_where_the_function_of_the_project_raises_nothing_may_be_done(
    run, operator, settings, caplog, function, lines
):
    settings.DIRECTOR = {"AUTHORIZE": f"{__name__}.{function.__name__}"}
    authorization.raised.reset()
    assert operator.get(f"{API}/runs/").json()["results"] == []
    assert operator.get(f"{API}/workflows/").json() == []
    assert operator.post(f"{API}/runs/{run.pk}/retry/").status_code == 404
    assert Run.objects.get().status == "failed"
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == lines


def by_the_page(user, action, workflow):
    """The example of docs/how-to/secure.md."""
    source = (ROOT / "docs" / "how-to" / "secure.md").read_text().split("```python\n# shop/access.py\n")[1]
    names = {}
    exec(source.split("# settings.py")[0], names)
    return names["billing_apart"](user, action, workflow)


def test_the_example_of_the_docs_hides_workflows_from_who_is_not_in_the_group(run, client_of, settings, caplog):
    factories.make_run(factories.make_workflow("billing.CHARGE"))
    settings.DIRECTOR = {"AUTHORIZE": f"{__name__}.by_the_page"}
    inside, outside = client_of("view_workflow", name="ann"), client_of("view_workflow", name="bob")
    inside.user.groups.add(Group.objects.create(name="billing"))
    for client, names in [
        (inside, {"billing.CHARGE", run.workflow.name}),
        (outside, {run.workflow.name}),
        (client_of(name="eve"), set()),
    ]:
        assert {workflow["name"] for workflow in client.get(f"{API}/workflows/").json()} == names
    assert not authorization.is_allowed(None, "run")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_throttling_is_harmless_without_a_rate_and_works_with_one(operator, settings):
    assert {operator.get(f"{API}/runs/").status_code for _ in range(5)} == {200}
    scoped = {
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.ScopedRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {},
    }
    settings.REST_FRAMEWORK = scoped
    assert operator.get(f"{API}/runs/").status_code == 200
    settings.REST_FRAMEWORK = scoped | {"DEFAULT_THROTTLE_RATES": {"director": "2/hour"}}
    assert [operator.get(f"{API}/runs/").status_code for _ in range(3)] == [200, 200, 429]


def test_without_rest_framework_there_are_no_routes_and_nothing_breaks():
    code = (
        "from django.conf import settings; from tests import settings as base;"
        "names = [n for n in dir(base) if n.isupper()];"
        "config = {n: getattr(base, n) for n in names};"
        "config['INSTALLED_APPS'] = [a for a in base.INSTALLED_APPS if 'rest_framework' not in a];"
        "settings.configure(**config); import django; django.setup();"
        "from django_director.urls import urlpatterns; assert urlpatterns == [];"
        "from django.core.management import call_command; call_command('check');"
        "import sys; assert 'rest_framework' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
