"""Definitions of workflows: reads workflow files into frozen values, and reports every mistake with its place.

No database, no Celery.
"""

from __future__ import annotations

from django_director.common.problems import Place, Problem
from django_director.definitions.checks.batches import check_batches
from django_director.definitions.checks.destinations import check_destinations
from django_director.definitions.checks.permissions import check_permissions
from django_director.definitions.checks.registered_tasks import check_tasks
from django_director.definitions.checks.retries import check_retries
from django_director.definitions.source.codes import CODES
from django_director.definitions.source.paths import workflow_files

from .call_plan import ArgumentsError, Plan, Plans, plan
from .definition import (
    HOOK_PREFIX,
    ON_CONFLICT,
    OUTCOMES,
    Concurrency,
    Definition,
    Retention,
    Retry,
    Schedule,
    Seconds,
    Step,
    TaskStep,
    hook_label,
)
from .editor_schema import editor_schema
from .files import Reading, read_files, shown_path
from .kinds import KINDS, ApprovalStep, Container, MapStep, WaitStep, WorkflowStep
from .kinds.approval import ON_TIMEOUT, OnTimeout
from .stored import as_json, content_hash, from_json
from .trigger_rules import NONE_FAILED, RULES, TRIGGER_RULES, TriggerRule
from .wording import shortened, shown_span, shown_value

__all__ = [
    "CODES",
    "HOOK_PREFIX",
    "KINDS",
    "NONE_FAILED",
    "ON_CONFLICT",
    "ON_TIMEOUT",
    "OUTCOMES",
    "RULES",
    "TRIGGER_RULES",
    "ApprovalStep",
    "ArgumentsError",
    "Concurrency",
    "Container",
    "Definition",
    "MapStep",
    "OnTimeout",
    "Place",
    "Plan",
    "Plans",
    "Problem",
    "Reading",
    "Retention",
    "Retry",
    "Schedule",
    "Seconds",
    "Step",
    "TaskStep",
    "TriggerRule",
    "WaitStep",
    "WorkflowStep",
    "as_json",
    "check_batches",
    "check_destinations",
    "check_permissions",
    "check_retries",
    "check_tasks",
    "content_hash",
    "editor_schema",
    "from_json",
    "hook_label",
    "plan",
    "read_files",
    "shortened",
    "shown_path",
    "shown_span",
    "shown_value",
    "workflow_files",
]
