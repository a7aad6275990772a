"""Workflow files: text to frozen definitions, with all problems and their places. No database, no Celery."""

from __future__ import annotations

from django_director.common.problems import Place, Problem
from django_director.definitions.checks.destinations import check_destinations
from django_director.definitions.checks.permissions import check_permissions
from django_director.definitions.checks.retries import check_retries
from django_director.definitions.checks.tasks import check_tasks
from django_director.definitions.source.codes import CODES
from django_director.definitions.source.paths import workflow_files

from .call_plan import ArgumentsError, Plan, Plans, plan
from .editor_schema import editor_schema
from .files import Reading, read, shown_path
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
from .stored import as_json, content_hash, from_json
from .trigger_rules import RULES

__all__ = [
    "CODES",
    "HOOK_PREFIX",
    "RULES",
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
