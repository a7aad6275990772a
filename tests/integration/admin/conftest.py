import pytest
from django.test import Client

from tests import factories


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
