"""Workflow files: text to frozen definitions, with all problems and their places. No database, no Celery."""

from __future__ import annotations

from .arguments import ArgumentsError, Plan, Plans, plan
from .codes import CODES
from .model import Container, Definition, Retention, Schedule, Step, TaskStep, content_hash
from .problems import Place, Problem
from .reading import Reading, read, shown_path
from .sources import workflow_files
from .tasks import check_tasks

__all__ = [
    "CODES",
    "ArgumentsError",
    "Container",
    "Definition",
    "Place",
    "Plan",
    "Plans",
    "Problem",
    "Reading",
    "Retention",
    "Schedule",
    "Step",
    "TaskStep",
    "check_tasks",
    "content_hash",
    "plan",
    "read",
    "shown_path",
    "workflow_files",
]
