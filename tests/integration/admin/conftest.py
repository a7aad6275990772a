import pytest
from django.test import Client

from tests import factories

VIEW = ("view_workflow", "view_run", "view_task")


@pytest.fixture
def client_of():
    """A signed-in member of staff with some permissions: ``client_of("view_run")``."""

    def make(*permissions, name="ann", **options):
        client = Client(**options)
        client.user = factories.make_user(name, *permissions)
        client.user.is_staff = True
        client.user.save(update_fields=["is_staff"])
        client.force_login(client.user)
        return client

    return make


@pytest.fixture
def viewer(client_of):
    return client_of(*VIEW)


@pytest.fixture
def operator(client_of):
    """May do everything with every workflow."""
    return client_of(*VIEW, "run_workflow", "cancel_run", "retry_run", "view_payload", name="olga")
