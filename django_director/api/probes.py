"""The routes for load balancers and monitors, which do not sign in: ``ping/`` and ``health/``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, InterfaceError
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from django_director.access.authorization import is_allowed
from django_director.conf import director
from django_director.exceptions import DirectorError
from django_director.models.users import User
from django_director.presentation import health

from .serializers import NoOptions
from .views import DirectorView, query

FRESH_SECONDS = 2.0
"""For so many seconds a process answers probes with what it has found out: many probes cost as much as one."""


class Probe(DirectorView):
    """Answers everybody in JSON, as often as they ask, whatever the project's settings of the API are."""

    permission_classes = []
    renderer_classes = [JSONRenderer]

    def perform_authentication(self, request: Request) -> None:
        """Ask nobody who they are: that may take a query, and a wrong token would be refused."""

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Answer in JSON whatever the probe accepts."""
        kinds: Sequence[type[BaseRenderer]] = self.renderer_classes
        return kinds[0](), kinds[0].media_type

    def get_throttles(self) -> list[BaseThrottle]:
        return []


class Ping(Probe):
    """``GET ping/``: tells that the web server answers. It asks no database."""

    def get(self, request: Request) -> Response:
        return Response({"message": "pong"})


class Health(Probe):
    """``GET health/``: tells whether all that runs need is alive, with status 503 if something is not.

    A user with ``view_run`` sees why; all others see the status only.
    """

    def get(self, request: Request) -> Response:
        query(request, NoOptions)
        user = _user_of(request)
        found = self._in_full(user) if _may(user, "view_run") else {"healthy": health.is_healthy(FRESH_SECONDS)}
        return Response(found, status.HTTP_200_OK if found["healthy"] else status.HTTP_503_SERVICE_UNAVAILABLE)

    def _in_full(self, user: User) -> dict[str, Any]:
        # A project with rules of its own may hide workflows, and so their names.
        found = health.read_health(
            with_names=not director.AUTHORIZE,
            with_details=_may(user, "view_system"),
            broker_seconds=FRESH_SECONDS,
        )
        return health.for_programs(found)


def _user_of(request: Request) -> User:
    """Return who asks; ``None`` for nobody, and where the database or a wrong token does not let us find out."""
    try:
        user: User = request.user
    except (APIException, DatabaseError, InterfaceError):
        return None
    return user


def _may(user: User, action: str) -> bool:
    try:
        return user is not None and getattr(user, "is_authenticated", False) and is_allowed(user, action)
    except (DirectorError, DatabaseError, InterfaceError):
        return False
