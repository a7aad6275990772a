"""Names of workflows, as far as the user of a request may know them."""

from __future__ import annotations

from django_director import engine
from django_director.access.authorization import is_allowed, visible
from django_director.common.suggestions import question
from django_director.conf import director
from django_director.exceptions import NotAllowed, UnknownWorkflow
from django_director.models import Workflow
from django_director.models.users import User


def find(user: User, name: str, *actions: str) -> Workflow:
    """The workflow of this name. Raises ``UnknownWorkflow`` with the nearest name that the user may know.

    Also for one that the project hides: which it does from a user who may do none of ``actions`` with it.
    """
    workflow = engine.workflow_named(name)
    if workflow is None or is_hidden(user, workflow, *actions):
        raise UnknownWorkflow(name, question(name, _known_to(user)))
    return workflow


def is_hidden(user: User, workflow: Workflow, *actions: str) -> bool:
    """Whether the project hides a workflow from the user: then it is not there, in place of a 403 that tells."""
    if not director.AUTHORIZE:
        return False
    return not any(is_allowed(user, action, workflow) for action in actions)


def _known_to(user: User) -> list[str]:
    """The names that may be suggested to the user."""
    try:
        workflows = visible(user, "view_workflow", Workflow.objects.all())
    except NotAllowed:
        return []
    return list(workflows.values_list("name", flat=True))
