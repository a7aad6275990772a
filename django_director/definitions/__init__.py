"""Workflow files: text to frozen definitions, with all problems and their places. No database, no Celery."""

from __future__ import annotations

from django_director.common.problems import Place, Problem

from .arguments import ArgumentsError, Plan, Plans, plan
from .codes import CODES
from .destinations import check_destinations
from .editors import editor_schema
from .model import (
    HOOK_PREFIX,
    ApprovalStep,
    Concurrency,
    Container,
    Definition,
    MapStep,
    Retention,
    Retry,
    Schedule,
    Step,
    TaskStep,
    WaitStep,
    WorkflowStep,
    hook_label,
)
from .permissions import check_permissions
from .reading import Reading, read, shown_path
from .retries import check_retries
from .sources import workflow_files
from .stored import as_json, content_hash, from_json
from .tasks import check_tasks

__all__ = [
    "CODES",
    "HOOK_PREFIX",
    "ApprovalStep",
    "ArgumentsError",
    "Concurrency",
    "Container",
    "Definition",
    "MapStep",
    "Place",
    "Plan",
    "Plans",
    "Problem",
    "Reading",
    "Retention",
    "Retry",
    "Schedule",
    "Step",
    "TaskStep",
    "WaitStep",
    "WorkflowStep",
    "as_json",
    "check_destinations",
    "check_permissions",
    "check_retries",
    "check_tasks",
    "content_hash",
    "editor_schema",
    "from_json",
    "hook_label",
    "plan",
    "read",
    "shown_path",
    "workflow_files",
]
