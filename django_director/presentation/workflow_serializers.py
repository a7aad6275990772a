"""Workflows and the steps of their definitions as the JSON objects of the API and of ``--json``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django_director.definitions import Container, Definition, MapStep, Step, TaskStep, WorkflowStep
from django_director.masking.schemas import mask_schema
from django_director.masking.values import mask
from django_director.models import Workflow, WorkflowVersion
from django_director.schedules.descriptions import describe_many

from .serializers import Json, short_run_as_json, time_as_json
from .summaries import last_runs


def workflow_as_json(workflow: Workflow) -> Json:
    """Return a workflow, with its last run in short form."""
    return workflows_as_json([workflow])[0]


def workflows_as_json(workflows: Iterable[Workflow]) -> list[Json]:
    """Return the workflows of a list; the number of queries does not depend on its length."""
    listed = list(workflows)
    versions = WorkflowVersion.objects.in_bulk({workflow.current_version_id for workflow in listed} - {None})
    last = last_runs(listed)
    schedules = describe_many(listed)
    return [
        _workflow(workflow, versions.get(workflow.current_version_id or 0))
        | {
            "schedules": [_as_json_times(schedule) for schedule in schedules[workflow.pk]],
            "last_run": short_run_as_json(last[workflow.pk]) if workflow.pk in last else None,
        }
        for workflow in listed
    ]


def step_as_json(step: Step) -> Json:
    """Return a step of a definition; ``tasks`` are the members of a container, or the steps in a map."""
    members: tuple[Step, ...] | None = None
    if isinstance(step, Container | MapStep):
        members = step.members if isinstance(step, Container) else step.body
    return {
        "id": step.id,
        "kind": step.kind,
        "task": step.task if isinstance(step, TaskStep) else None,
        "workflow": step.workflow if isinstance(step, WorkflowStep) else None,
        "queue": step.queue,
        "with": mask(step.kwargs) or None if isinstance(step, TaskStep) else None,
        "tasks": None if members is None else [step_as_json(member) for member in members],
        "description": step.description or None,
    }


def _workflow(workflow: Workflow, version: WorkflowVersion | None) -> Json:
    definition = version.graph.definition if version else Definition(name=workflow.name)
    return {
        "name": workflow.name,
        "description": definition.description or None,
        "version": version.number if version else None,
        "is_active": workflow.is_active,
        "schedules": [],
        "schema": mask_schema(definition.schema),
        "steps": [step_as_json(step) for step in definition.tasks],
        "hooks": {outcome: list(map(step_as_json, steps)) for outcome, steps in definition.hooks.items()},
        "last_run": None,
    }


def _as_json_times(schedule: Json) -> Json:
    return {key: time_as_json(value) if isinstance(value, datetime) else value for key, value in schedule.items()}
