"""Finds workflows by name, and suggests only names that the user of the request may know."""

from __future__ import annotations

from django_director import engine
from django_director.access.authorization import allowed_rows, is_allowed
from django_director.common.suggestions import question
from django_director.conf import director
from django_director.exceptions import NotAllowed, UnknownWorkflow
from django_director.models import Workflow
from django_director.models.users import User


def find_workflow(user: User, name: str, *actions: str) -> Workflow:
    """Return the workflow ``name``. Raises ``UnknownWorkflow`` with the nearest name that the user may know.

    It also raises for a workflow that the project hides from the user, who may do none of ``actions`` with it.
    """
    workflow = engine.workflow_named(name)
    if workflow is None or is_hidden(user, workflow, *actions):
        raise UnknownWorkflow(name, question(name, _known_to(user)))
    return workflow


def is_hidden(user: User, workflow: Workflow, *actions: str) -> bool:
    """Whether the project hides a workflow from the user, who then gets a 404: a 403 would tell that it exists."""
    if not director.AUTHORIZE:
        return False
    return not any(is_allowed(user, action, workflow) for action in actions)


def _known_to(user: User) -> list[str]:
    """Return the names that an answer may suggest to the user."""
    try:
        workflows = allowed_rows(user, "view_workflow", Workflow.objects.all())
    except NotAllowed:
        return []
    return list(workflows.values_list("name", flat=True))
