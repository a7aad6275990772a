"""Workflows by their names, and the version that a new run of one takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django_director.common.suggestions import question
from django_director.conf import director
from django_director.db.compiled import TEXT, Param, Select, prepared
from django_director.exceptions import InactiveWorkflow, UnknownWorkflow
from django_director.models import Workflow, WorkflowVersion

WORKFLOW_COLUMNS: Final = tuple(field.attname for field in Workflow._meta.concrete_fields)
VERSION_COLUMNS: Final = ("id", "workflow_id", "number", "content_hash", "path", "created_at")
"""Of a definition only what is compiled from it is needed, and that is kept per process."""

find_elsewhere: Callable[[str], bool] | None = None
"""Asked for a workflow that the database does not have, or not any more; says whether it has it now."""


def workflow_named(name: str) -> Workflow | None:
    """Return the workflow of this name, active or not, with its current version. One query."""
    # No name holds NUL, and PostgreSQL refuses to be asked.
    found = [] if "\0" in name else _finding_workflow().rows(name=name)
    for row in found:
        workflow = Workflow.from_db(director.DATABASE, WORKFLOW_COLUMNS, row[: len(WORKFLOW_COLUMNS)])
        if workflow.current_version_id is not None:
            version = WorkflowVersion.from_db(director.DATABASE, VERSION_COLUMNS, row[len(WORKFLOW_COLUMNS) :])
            workflow.current_version, version.workflow = version, workflow
        return workflow
    return None


@prepared
def _finding_workflow() -> Select:
    version = (f"current_version__{name}" for name in VERSION_COLUMNS)
    named = Workflow.objects.filter(name=Param("name", TEXT))
    return Select(named.values_list(*WORKFLOW_COLUMNS, *version))


def current_version(workflow: Workflow | str) -> WorkflowVersion:
    """Return the version for a new run of ``workflow``. Raises ``UnknownWorkflow`` or ``InactiveWorkflow``."""
    found = _stored(workflow) if isinstance(workflow, str) else workflow
    if found is None or found.current_version is None:
        name = str(workflow)
        near = question(name, Workflow.objects.active().values_list("name", flat=True))
        raise UnknownWorkflow(name, near or "“manage.py syncworkflows” stores what the files say")
    if not found.is_active:
        raise InactiveWorkflow(found.name)
    version: WorkflowVersion = found.current_version
    return version


def _stored(name: str) -> Workflow | None:
    found = workflow_named(name)
    if (found is None or not found.is_active) and find_elsewhere is not None and find_elsewhere(name):
        return workflow_named(name)
    return found
