"""Who must approve in a run that is about to start: in its own steps, and in the child runs that these start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.db.models import F
from django.utils.translation import gettext as _

from django_director.access.authorization import is_allowed, needed_for
from django_director.conf import director
from django_director.definitions import ApprovalStep, WorkflowStep
from django_director.models import Workflow, WorkflowVersion
from django_director.models.users import User
from django_director.models.workflows import load_graphs

from . import formatting

LEVELS: Final = 5
"""So many child runs below each other are looked at."""
PROMPT_SHOWN: Final = 200


def find(workflow: Workflow, version: WorkflowVersion, user: User) -> list[dict[str, Any]]:
    """Return what the template needs of each approval: of child runs, those of workflows that the user may see.

    It takes two queries at most for each level of child runs.
    """
    found = list(_describe(workflow, version, user, ""))
    for called in _called_by(version, user):
        found += _describe(called.workflow, called, user, formatting.name(called.workflow.name))
    return found


def _called_by(version: WorkflowVersion, user: User) -> Iterator[WorkflowVersion]:
    """Yield the versions that the steps of a version start, and those that these start, each once."""
    known = {version.graph.definition.name}
    level = [version]
    for _level in range(LEVELS):
        names = _names(level) - known
        if not names:
            return
        known |= names
        level = [each for each in _read(names) if is_allowed(user, "view_workflow", each.workflow)]
        yield from level


def _names(versions: Iterable[WorkflowVersion]) -> set[str]:
    entries = (step for version in versions for step in version.graph.definition.entries())
    return {step.workflow for step in entries if isinstance(step, WorkflowStep)}


def _read(names: set[str]) -> list[WorkflowVersion]:
    """Read the current versions of the active workflows with these names."""
    rows = WorkflowVersion.objects.filter(
        workflow__name__in=names, workflow__is_active=True, workflow__current_version=F("pk")
    )
    found = list(rows.select_related("workflow").defer("definition", "source").order_by("workflow__name"))
    load_graphs(found)
    return found


def _describe(workflow: Workflow, version: WorkflowVersion, user: User, place: str) -> Iterator[dict[str, Any]]:
    for step in version.graph.definition.entries():
        if isinstance(step, ApprovalStep):
            action = step.permission or "approve"
            yield {
                "name": formatting.name(step.id),
                "place": place,
                "prompt": formatting.shortened_line(step.prompt, PROMPT_SHOWN),
                "who": _who(action, workflow),
                "you": is_allowed(user, action, workflow),
            }


def _who(action: str, workflow: Workflow) -> str:
    if director.AUTHORIZE:
        return _("This site decides by rules of its own who may do that.")
    return _("Needs %(what)s") % {"what": needed_for(action, workflow)}
