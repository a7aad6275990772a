"""Who may do what: one answer for the admin, the API and the commands' ``--user``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from django.db.models import QuerySet
from django.utils.module_loading import import_string

from .conf import director
from .exceptions import InvalidSettings, NotAllowed
from .models import Workflow

Rows = TypeVar("Rows", bound=QuerySet[Any])
Authorize = Callable[[Any, str, Workflow | None], bool]

#: What each action asks for: permissions of the app, all of them.
PERMISSIONS: Final[dict[str, tuple[str, ...]]] = {
    "view": ("view_workflow", "view_run", "view_task"),
    "view_workflow": ("view_workflow",),
    "view_run": ("view_run",),
    "view_task": ("view_task",),
    "view_payload": ("view_payload",),
    "run": ("run_workflow",),
    "cancel": ("cancel_run",),
    "retry": ("retry_run",),
}


#: What the names of the actions begin with that change nothing.
LOOKING: Final = "view"


def is_allowed(user: Any, action: str, workflow: Workflow | None = None) -> bool:
    """Whether ``user`` may do ``action``, a key of ``PERMISSIONS``, with the workflow (``None``: with any).

    ``DIRECTOR["AUTHORIZE"]`` may name a function of the same arguments that decides instead; it may call
    ``by_permissions`` for the usual answer.
    """
    return bool(_authorize()(user, action, workflow))


def by_permissions(user: Any, action: str, workflow: Workflow | None = None) -> bool:
    """The usual answer: Django's permissions and, to run or steer, the workflow's ``allowed_groups``."""
    if user is None or not all(user.has_perm(f"django_director.{codename}") for codename in PERMISSIONS[action]):
        return False
    return workflow is None or action.startswith(LOOKING) or _is_in_groups(user, workflow)


def _is_in_groups(user: Any, workflow: Workflow) -> bool:
    """Whether the workflow is for everybody, or for a group of the user's; superusers are in all of them."""
    allowed = workflow.allowed_groups
    return not allowed or user.is_superuser or not _groups_of(user).isdisjoint(allowed)


def _groups_of(user: Any) -> frozenset[str]:
    """Names; asked for once for each user object, as Django does with permissions."""
    if not hasattr(user, "_director_groups"):
        groups = getattr(user, "groups", None)
        names = () if groups is None else groups.values_list("name", flat=True)
        user._director_groups = frozenset(names)
    return user._director_groups  # type: ignore[no-any-return]


def require(user: Any, action: str, workflow: Workflow | None = None) -> None:
    """Raise ``NotAllowed``, naming the user and what is missing, unless ``is_allowed``."""
    if is_allowed(user, action, workflow):
        return
    what = f" with “{workflow}”" if workflow else ""
    needed = ", ".join(f"django_director.{codename}" for codename in PERMISSIONS[action])
    if workflow is not None and workflow.allowed_groups and not action.startswith(LOOKING):
        needed += f", and one of the groups {', '.join(workflow.allowed_groups)}"
    raise NotAllowed(f"user “{user}” may not {action.replace('_', ' ')}{what}: it needs {needed}")


def visible(user: Any, action: str, rows: Rows, path: str = "pk") -> Rows:
    """Those of ``rows`` with whose workflow, found at ``path``, ``user`` may do ``action``.

    Costs a query only when the project decides itself. Raises ``NotAllowed`` when it does not and the user
    has no permission: then it is the same for all rows.
    """
    if not director.AUTHORIZE:
        require(user, action)
        return rows
    workflows = Workflow.objects.order_by()
    allowed = [workflow.pk for workflow in workflows if is_allowed(user, action, workflow)]
    return rows.filter(**{f"{path}__in": allowed})


def _authorize() -> Authorize:
    path = director.AUTHORIZE
    if not path:
        return by_permissions
    try:
        return cast("Authorize", import_string(path))
    except ImportError as error:
        raise InvalidSettings(f'DIRECTOR["AUTHORIZE"] = {path!r} can\'t be imported: {error}') from error
