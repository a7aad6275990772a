from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django_director.lookups import find_workflow
from django_director.management.base import DirectorCommand, add_json_argument
from django_director.management.display import Json
from django_director.models import Workflow
from django_director.outline import mermaid, tree
from django_director.representation import workflow_as_json

from .listworkflows import last_run_text, next_run, schedule_text


class Command(DirectorCommand):
    help = "Show one workflow: its steps, hooks, schedules and schema."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        form = parser.add_mutually_exclusive_group()
        add_json_argument(form)
        form.add_argument("--graph", action="store_true", help="print the graph as a Mermaid flowchart")

    def run_command(self, *, name: str, as_json: bool, graph: bool, **options: Any) -> None:
        workflow = find_workflow(name)
        if graph:
            self._graph(workflow)
        elif as_json:
            self.out.json(workflow_as_json(workflow))
        else:
            self._show(workflow_as_json(workflow))

    def _graph(self, workflow: Workflow) -> None:
        if workflow.current_version is None:
            self.fail(f"“{workflow}” has no version yet: run “manage.py syncworkflows”")
        for line in mermaid(workflow.current_version.graph):
            self.out.line(line)

    def _show(self, workflow: Json) -> None:
        self.out.fields(
            [
                ("name", workflow["name"] + ("" if workflow["is_active"] else " (inactive)")),
                ("version", workflow["version"]),
                ("description", workflow["description"]),
                ("schedule", ", ".join(map(schedule_text, workflow["schedules"]))),
                ("next run", next_run(workflow)),
                ("last run", last_run_text(self.out, workflow)),
                ("schema", json.dumps(workflow["schema"]) if workflow["schema"] is not None else None),
            ]
        )
        self._tree("steps", workflow["steps"])
        for outcome, steps in workflow["hooks"].items():
            self._tree(f"hook on {outcome}", steps)

    def _tree(self, title: str, steps: list[Json]) -> None:
        self.out.line(f"{title}:")
        for line in tree(steps, "  "):
            self.out.line(line)
