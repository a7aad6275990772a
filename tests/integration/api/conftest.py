import pytest
from rest_framework.test import APIClient

from tests import factories

VIEW = ("view_workflow", "view_run", "view_task")


@pytest.fixture
def client_of():
    """An API client for a user with some permissions: ``client_of("view_run")``."""

    def make(*permissions, name="ann"):
        client = APIClient()
        client.user = factories.make_user(name, *permissions)
        client.force_authenticate(client.user)
        return client

    return make


@pytest.fixture
def viewer(client_of):
    return client_of(*VIEW)


@pytest.fixture
def operator(client_of):
    """May do everything with every workflow."""
    return client_of(*VIEW, "run_workflow", "cancel_run", "retry_run", "view_payload")
