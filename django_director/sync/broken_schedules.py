"""Finds schedules that can't start a run of the workflows as the files have them.

The schedules of the files themselves are checked when these are read. Only people see to the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from django_director.common.languages import in_english
from django_director.definitions import Definition, as_json, content_hash
from django_director.models import Workflow, WorkflowVersion
from django_director.schedules import beat_rows
from django_director.schedules.enabled import Enabled
from django_director.schedules.obstacles import find


def broken_schedules(definitions: Sequence[Definition]) -> list[str]:
    """Return a warning for each schedule made by hand that can't start a run once these definitions are stored."""
    enabled = Enabled()
    rows = [row for row in enabled.rows if not beat_rows.is_of_files(row.name)]
    if not rows:
        return []
    stored = enabled.workflows
    for workflow in stored.values():
        # Those that are in no file: the others are replaced.
        workflow.is_active = False
    names = {beat_rows.workflow_of(row) for row in rows}
    in_files = {each.name: _unsaved(each) for each in definitions if each.name in names}
    found = find(rows, stored | in_files, math.inf)
    return [f"as the workflow files stand, {in_english(str, each)}" for each in sorted(found.values())]


def _unsaved(definition: Definition) -> Workflow:
    """Return a definition as the workflow that a sync makes of it."""
    version = WorkflowVersion(content_hash=content_hash(definition), definition=as_json(definition))
    return Workflow(name=definition.name, current_version=version)
