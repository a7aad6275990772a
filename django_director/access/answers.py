"""Keeps what a user may see of which workflow while one page or answer is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Final

from django.db.models import Q
from django.http import HttpRequest

from django_director.conf import director
from django_director.models import Workflow
from django_director.models.users import User

from .authorization import is_allowed

KEPT: Final = "_director_answers"
"""The attribute in which a request keeps what its user may see."""


class Answers:
    """Tells what a user may see of workflows, which are given by their ids; each question is asked once.

    Actions that only view something depend on the workflow only if the project decides by a function of its own.
    Then all workflows are read once, in one query. Without such a function it takes none.
    """

    def __init__(self, user: User) -> None:
        self._user = user
        self._known: dict[tuple[str, int], bool] = {}

    @classmethod
    def of(cls, request: HttpRequest) -> Answers:
        """Return what the user of a request may see; the request keeps it."""
        known: Answers | None = getattr(request, KEPT, None)
        if known is None:
            known = cls(request.user)
            setattr(request, KEPT, known)
        return known

    def may(self, action: str, workflow: int) -> bool:
        """Whether the user may do ``action``, which only views something, with the workflow."""
        key = action, workflow if director.AUTHORIZE else 0
        if key not in self._known:
            self._known[key] = self._ask(action, workflow)
        return self._known[key]

    def sees(self, action: str) -> Callable[[int], bool]:
        """Return ``may`` for one action."""
        return partial(self.may, action)

    def workflows(self, action: str) -> list[int]:
        """Return the ids of all workflows with which the user may do ``action``."""
        return [pk for pk in self._workflows if self.may(action, pk)]

    def where(self, action: str, path: str) -> Q:
        """Return the condition of rows with whose workflow the user may do ``action``.

        ``path`` is the look-up that leads from a row to the id of its workflow.
        """
        if director.AUTHORIZE:
            return Q(**{f"{path}__in": self.workflows(action)})
        return Q() if is_allowed(self._user, action) else Q(pk__in=[])

    @cached_property
    def _workflows(self) -> dict[int, Workflow]:
        return {workflow.pk: workflow for workflow in Workflow.objects.order_by()}

    def _ask(self, action: str, workflow: int) -> bool:
        if not director.AUTHORIZE:
            return is_allowed(self._user, action)
        row = self._workflows.get(workflow)
        return row is not None and is_allowed(self._user, action, row)
