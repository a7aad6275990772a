"""Finds the addresses to which the boxes and rows on a run's page lead."""

from __future__ import annotations

from functools import cached_property
from uuid import UUID

from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_director.common import ids
from django_director.definitions import WorkflowStep
from django_director.drawing.parts import Part
from django_director.graph import OWN_TASK, Node
from django_director.models import Run

from . import formatting


class Links:
    """The addresses on the page of one run; they take a query if some steps are workflows."""

    def __init__(self, run: Run, site: str) -> None:
        self.run = run
        self.site = site

    def of_step(self, box: Part) -> str:
        """Return the address of the child run of a box that is one step, or else of its task."""
        return self.to_child(box) or self.to_task(ids.task_id(self.run.pk, box.positions[0]))

    def of_hook(self, box: Part) -> str:
        """Return the address of the task of a hook in the present generation of the run."""
        return self.to_task(ids.hook_id(self.run.pk, self.run.generation, box.positions[0]))

    def to_task(self, pk: UUID) -> str:
        """Return the address of a task's page."""
        return formatting.address("task_change", pk, site=self.site)

    def to_child(self, box: Part) -> str | None:
        """Return the address of the child run of a box that is one step; ``None`` without a child run."""
        child = None if box.is_frame else self._children.get(box.positions[0])
        return None if child is None else self.to_run(child)

    @cached_property
    def _children(self) -> dict[int, UUID]:
        if not any(isinstance(node.step, WorkflowStep) for node in self.run.version.graph.nodes):
            return {}
        return dict(self.run.tasks.filter(child_run__isnull=False).values_list("position", "child_run"))

    def to_run(self, run_id: UUID) -> str:
        """Return the address of a run's page."""
        return formatting.address("run_change", run_id, site=self.site)


def named_run(run_id: UUID, site: str) -> SafeString:
    """Return a link to a run's page with its short id."""
    link = formatting.address("run_change", run_id, site=site)
    return format_html('<a href="{}"><code>{}</code></a>', link, formatting.short_id(run_id))


def called_name(node: Node) -> str:
    """Return the name of the Celery task or workflow that a step calls, or else the kind of the step."""
    if isinstance(node.step, WorkflowStep):
        return formatting.name(node.step.workflow)
    return formatting.name(node.name) if node.name != OWN_TASK else formatting.kind_label(node.kind)
