"""Decides who may do what, by one rule for the admin, the API and the ``--user`` of commands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from inspect import iscoroutinefunction
from typing import Any, Final, TypeVar, cast

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from django_director.common.languages import in_english
from django_director.common.throttle import Throttle
from django_director.conf import director
from django_director.definitions import ApprovalStep
from django_director.exceptions import InvalidSettings, NotAllowed
from django_director.models import Task, Workflow
from django_director.models.users import Account, User

logger = logging.getLogger(__name__)

Rows = TypeVar("Rows", bound=QuerySet[Any])
Authorize = Callable[[Any, str, Workflow | None], bool]

#: The permissions of the app that each action needs; a user must have all of them.
PERMISSIONS: Final[dict[str, tuple[str, ...]]] = {
    "view": ("view_workflow", "view_run", "view_task"),
    "view_workflow": ("view_workflow",),
    "view_run": ("view_run",),
    "view_task": ("view_task",),
    "view_payload": ("view_payload",),
    "view_system": ("view_run", "view_payload"),
    "schedule": ("change_workflow", "run_workflow"),
    "run": ("run_workflow",),
    "cancel": ("cancel_run",),
    "retry": ("retry_run",),
    "approve": ("approve_task",),
}

raised: Final = Throttle()
"""Limits how often errors of the project's function are logged: the admin calls it several times for a page."""

#: The names of actions that change nothing begin with this.
VIEW_PREFIX: Final = "view"
GROUPS_KEPT: Final = "_director_groups"
"""The attribute in which a user object remembers the names of its groups."""


def is_allowed(user: User, action: str, workflow: Workflow | None = None) -> bool:
    """Whether ``user`` may do ``action`` with the workflow (``None``: with any workflow).

    An action is a key of ``PERMISSIONS``, or the permission ``app_label.codename`` that an approval asks for in
    place of ``approve_task``. ``DIRECTOR["AUTHORIZE"]`` may name a function with the same arguments that decides
    instead; it may call ``by_permissions`` for the default answer. If it raises an error, the answer is no, and
    the error is logged once a minute.
    """
    decide = authorize_function()
    if decide is by_permissions:
        return by_permissions(user, action, workflow)
    try:
        return bool(decide(user, action, workflow))
    except PermissionDenied:
        return False
    except Exception:
        if raised.passes("AUTHORIZE"):
            logger.exception(
                'DIRECTOR["AUTHORIZE"] raised an error for “%s” with %s, which means no.',
                action,
                workflow or "any workflow",
            )
        return False


def by_permissions(user: User, action: str, workflow: Workflow | None = None) -> bool:
    """Whether ``user`` may do ``action`` by Django's permissions and by the workflow's ``allowed_groups``.

    The groups count for all actions but those that only view something.
    """
    if user is None or not all(map(user.has_perm, _needed(action))):
        return False
    return workflow is None or _only_views(action) or _is_in_groups(user, workflow)


def may_start_as_step(user: User, workflow: Workflow) -> bool:
    """Whether a run of ``user`` may start the workflow as a step; ``user`` is ``None`` for a deleted user.

    The user must be in one of the workflow's groups, but needs no permission: with the permission to run a
    workflow a user may run its steps.
    """
    if director.AUTHORIZE:
        return is_allowed(user, "run", workflow)
    return user is not None and _is_in_groups(user, workflow)


def action_to_decide(task: Task) -> str:
    """Return the action that a user must be allowed to do to decide on an approval."""
    step = task.run.version.graph.node(task.position).step
    return (step.permission if isinstance(step, ApprovalStep) else None) or "approve"


def needed_for(action: str, workflow: Workflow | None = None) -> str:
    """Return the permissions and groups that ``by_permissions`` asks for, as people read them."""
    return _as_text(_needed(action), [] if workflow is None or _only_views(action) else workflow.allowed_groups)


def missing_for(user: User, action: str, workflow: Workflow | None = None) -> str:
    """Return the permissions and groups that ``user`` lacks, as people read them; empty if none is missing."""
    if user is None:
        return needed_for(action, workflow)
    permissions = [name for name in _needed(action) if not user.has_perm(name)]
    is_outside = workflow is not None and not _only_views(action) and not _is_in_groups(user, workflow)
    return _as_text(permissions, workflow.allowed_groups if workflow is not None and is_outside else [])


def _as_text(permissions: Sequence[str], groups: Sequence[str]) -> str:
    words = {"permissions": ", ".join(permissions), "groups": ", ".join(groups)}
    if permissions and groups:
        return _("%(permissions)s, and one of the groups %(groups)s") % words
    return _("one of the groups %(groups)s") % words if groups else words["permissions"]


def _needed(action: str) -> tuple[str, ...]:
    if action not in PERMISSIONS:
        return (action,)
    return tuple(f"django_director.{codename}" for codename in PERMISSIONS[action])


def _only_views(action: str) -> bool:
    return action in PERMISSIONS and action.startswith(VIEW_PREFIX)


def _is_in_groups(user: Account, workflow: Workflow) -> bool:
    """Whether everybody may use the workflow, or a group of the user may. Superusers count as in all groups."""
    allowed = workflow.allowed_groups
    return not allowed or user.is_superuser or not _groups_of(user).isdisjoint(allowed)


def _groups_of(user: Account) -> frozenset[str]:
    """Return the names of a user's groups.

    There is one query for each user object, as for Django's permissions.
    """
    known: frozenset[str] | None = getattr(user, GROUPS_KEPT, None)
    if known is None:
        groups = getattr(user, "groups", None)
        known = frozenset(() if groups is None else groups.values_list("name", flat=True))
        setattr(user, GROUPS_KEPT, known)
    return known


def require(user: User, action: str, workflow: Workflow | None = None) -> None:
    """Raise ``NotAllowed`` if ``user`` may not do ``action``; the message names the missing permissions."""
    if is_allowed(user, action, workflow):
        return
    what = f" with “{workflow}”" if workflow else ""
    deed = action.replace("_", " ") if action in PERMISSIONS else "approve"
    missing = in_english(missing_for, user, action, workflow)
    why = f"it needs {missing}" if missing else "this site decides by rules of its own"
    raise NotAllowed(f"user “{user}” may not {deed}{what}: {why}")


def allowed_rows(user: User, action: str, rows: Rows, path: str = "pk") -> Rows:
    """Return the rows with whose workflow ``user`` may do ``action``.

    ``path`` is the look-up that leads from a row to the id of its workflow. There is a query only if the project
    has a function of its own that decides. Without one all rows have one answer: all of them are returned, or
    ``NotAllowed`` is raised.
    """
    if not director.AUTHORIZE:
        require(user, action)
        return rows
    workflows = Workflow.objects.order_by()
    allowed = [workflow.pk for workflow in workflows if is_allowed(user, action, workflow)]
    return rows.filter(**{f"{path}__in": allowed})


def authorize_function() -> Authorize:
    """Return the function that decides for ``is_allowed``. Raises ``InvalidSettings`` if it can't be used."""
    path = director.AUTHORIZE
    if not path:
        return by_permissions
    try:
        found = path if callable(path) else import_string(path)
    except ImportError as error:
        raise InvalidSettings(f'DIRECTOR["AUTHORIZE"] = {path!r} can\'t be imported: {error}') from error
    if not callable(found):
        raise InvalidSettings(f'DIRECTOR["AUTHORIZE"] = {path!r} can\'t be called: it is no function')
    if iscoroutinefunction(found):
        # The coroutine that it returns would always count as true.
        raise InvalidSettings(f'DIRECTOR["AUTHORIZE"] = {path!r} is an `async def`: a plain function is called')
    return cast("Authorize", found)
