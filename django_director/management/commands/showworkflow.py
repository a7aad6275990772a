from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Final

from django_director.definitions import Definition, Step
from django_director.drawing.text import mermaid
from django_director.management.base import DirectorCommand, add_json_argument
from django_director.management.definition import limit_fields, step_lines
from django_director.models import Workflow
from django_director.presentation.lookups import find_workflow
from django_director.presentation.workflow_serializers import workflow_as_json

from .listworkflows import last_run_text, next_run, schedule_text

#: The outcomes for which a workflow may have hooks, in the order in which they are printed.
OUTCOMES: Final = ("success", "failure", "canceled", "always")


class Command(DirectorCommand):
    help = (
        "Show one workflow: its limits, schedules and schema, its steps with all that holds for them, its hooks."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        form = parser.add_mutually_exclusive_group()
        add_json_argument(form)
        form.add_argument("--graph", action="store_true", help="print the graph as a Mermaid flowchart")

    def run_command(self, *, name: str, as_json: bool, graph: bool, **options: object) -> None:
        workflow = find_workflow(name)
        if graph:
            self._graph(workflow)
        elif as_json:
            self.out.json(workflow_as_json(workflow))
        else:
            version = workflow.current_version
            definition = version.graph.definition if version else Definition(name=workflow.name)
            self._show(workflow, definition)

    def _graph(self, workflow: Workflow) -> None:
        if workflow.current_version is None:
            self.fail(f"“{workflow}” has no version yet: run “manage.py syncworkflows”")
        for line in mermaid(workflow.current_version.graph):
            self.out.line(line)

    def _show(self, row: Workflow, definition: Definition) -> None:
        workflow = workflow_as_json(row)
        self.out.fields(
            [
                ("name", workflow["name"] + ("" if workflow["is_active"] else " (inactive)")),
                ("version", workflow["version"]),
                ("description", workflow["description"]),
                ("schedule", ", ".join(map(schedule_text, workflow["schedules"]))),
                ("next run", next_run(workflow)),
                ("last run", last_run_text(self.out, workflow)),
                *limit_fields(row, definition),
                ("schema", json.dumps(workflow["schema"]) if workflow["schema"] is not None else None),
            ]
        )
        self._print_steps("steps", definition.tasks)
        for outcome in (outcome for outcome in OUTCOMES if outcome in definition.hooks):
            self._print_steps(f"hook on {outcome}", definition.hooks[outcome])

    def _print_steps(self, title: str, steps: Iterable[Step]) -> None:
        self.out.line(f"{title}:")
        for line in step_lines(steps, "  "):
            self.out.line(self.out.text(line))
