"""Addresses without a slash at the end, and such as lead nowhere: JSON, never a page or a redirect."""

import pytest
from django.test import Client

from django_director.api.urls import urlpatterns
from django_director.models import Run
from tests import factories

pytestmark = pytest.mark.django_db
API = "/director/api"


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_post_arrives_with_its_body(operator, slash):
    factories.make_workflow("shop.ORDER")
    response = operator.post(f"{API}/workflows/shop.ORDER/runs{slash}", {"comment": "by hand"}, format="json")
    assert response.status_code == 201
    assert Run.objects.get().comment == "by hand"


def test_every_route_can_do_without(operator):
    run = factories.make_run(status="failed", tasks={"A": "failed"})
    task = run.tasks.first()
    for route in (route for route in urlpatterns if route.name):
        address = str(route.pattern).replace("<str:name>", run.workflow.name)
        address = address.replace("<str:run_id>", str(run.pk)).replace("<str:task_id>", str(task.pk))
        answers = [operator.options(f"{API}/{form}") for form in (address, address.rstrip("/"))]
        assert [answer.status_code for answer in answers] == [200, 200], address
        assert answers[0].json()["name"] == answers[1].json()["name"]


@pytest.mark.parametrize("path", ["/", "/runs/x/y/z/", "/nothing", "/nothing/"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_what_is_no_route_is_a_404_in_json(operator, path, method):
    response = getattr(operator, method)(API + path)
    assert response.status_code == 404
    assert response.json() == {"detail": f"there is no route {API}{path}"}


def test_who_is_not_signed_in_learns_nothing_of_routes():
    assert Client().get(f"{API}/nothing/").status_code in (401, 403)
