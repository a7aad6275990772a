from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from typing import Final

from django_director.definitions import OUTCOMES, Definition, Step
from django_director.drawing.faces import faces
from django_director.drawing.gallery import picture_of
from django_director.drawing.palette import style_sheet
from django_director.drawing.svg import render_alone
from django_director.drawing.text import dot, mermaid
from django_director.graph import Graph
from django_director.management.base import DirectorCommand, add_json_argument
from django_director.management.definition import limit_fields, step_lines
from django_director.models import Workflow
from django_director.presentation.lookups import find_workflow
from django_director.presentation.workflow_serializers import workflow_as_json

from .listworkflows import last_run_text, next_run, schedule_text


def _svg(graph: Graph) -> Iterable[str]:
    picture, name = picture_of(graph), graph.definition.name
    return [str(render_alone(picture, faces(picture, ()), title=name, summary=name, style=style_sheet()))]


FORMATS: Final[dict[str, Callable[[Graph], Iterable[str]]]] = {"mermaid": mermaid, "dot": dot, "svg": _svg}
"""The forms in which a graph can be printed, by their names on the command line."""


class Command(DirectorCommand):
    help = (
        "Show one workflow: its limits, schedules and schema, its steps with all that holds for them, its hooks."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        form = parser.add_mutually_exclusive_group()
        add_json_argument(form)
        form.add_argument("--graph", action="store_true", help="print the graph in Mermaid, or in FORMAT")
        parser.add_argument("--format", choices=FORMATS, metavar="FORMAT", help="of --graph: mermaid, dot or svg")

    def run_command(self, *, name: str, as_json: bool, graph: bool, format: str | None, **options: object) -> None:
        if format is not None and not graph:
            self.fail("--format is for --graph: add --graph")
        workflow = find_workflow(name)
        if graph:
            self._graph(workflow, format or "mermaid")
        elif as_json:
            self.out.json(workflow_as_json(workflow))
        else:
            version = workflow.current_version
            definition = version.graph.definition if version else Definition(name=workflow.name)
            self._show(workflow, definition)

    def _graph(self, workflow: Workflow, format: str) -> None:
        if workflow.current_version is None:
            self.fail(f"“{workflow}” has no version yet: run “manage.py syncworkflows”")
        for line in FORMATS[format](workflow.current_version.graph):
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
