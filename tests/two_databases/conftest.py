from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from django_director.sync import versions
from tests import factories

# Run with settings of their own only: see tests/acceptance/test_two_databases.py.
collect_ignore_glob = [] if "director" in settings.DATABASES else ["test_*.py"]

TABLES = "django_director_"


@pytest.fixture(autouse=True)
def _apart(request: pytest.FixtureRequest) -> Iterator[None]:
    """No statement of a test names a table of ours in the one database, or a table of users in the other."""
    if request.node.get_closest_marker("anywhere"):
        yield
        return
    request.getfixturevalue("_databases")
    with (
        CaptureQueriesContext(connections["default"]) as main,
        CaptureQueriesContext(connections["director"]) as own,
    ):
        yield
    statements = [query["sql"] for query in main.captured_queries]
    assert not [sql for sql in statements if TABLES in sql and "django_director_broker" not in sql]
    foreign = ("auth_", "django_admin_log", "django_content_type", "django_celery_beat", "django_session")
    assert not [query["sql"] for query in own.captured_queries if any(name in query["sql"] for name in foreign)]


@pytest.fixture
def _databases(request: pytest.FixtureRequest) -> Any:
    marker = request.node.get_closest_marker("django_db")
    assert marker is not None
    return request.getfixturevalue("transactional_db" if marker.kwargs.get("transaction") else "db")


@pytest.fixture
def _synced(_databases: Any) -> None:
    versions.sync()


@pytest.fixture
def root(_synced: None) -> Any:
    """A superuser who is in no group."""
    return factories.make_admin()


@pytest.fixture
def pages(root: Any) -> Client:
    """The superuser's browser."""
    client = Client()
    client.force_login(root)
    return client


@pytest.fixture
def api(root: Any) -> APIClient:
    """The superuser's program."""
    client = APIClient()
    client.force_authenticate(root)
    return client


@pytest.fixture
def member(_synced: None) -> Any:
    """A user in the group ``ops`` with permissions of django-director."""
    user = factories.make_user("max", "view_run", "view_task", "run_workflow", "approve_task", "cancel_run")
    user.groups.add(Group.objects.create(name="ops"))
    return user
