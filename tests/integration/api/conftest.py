import pytest
from rest_framework.test import APIClient

from tests import factories


@pytest.fixture
def client_of():
    """An API client for a user with some permissions: ``client_of("view_run")``."""

    def make(*permissions, name="ann"):
        client = APIClient()
        client.user = factories.make_user(name, *permissions)
        client.force_authenticate(client.user)
        return client

    return make
