"""Finds the addresses to which the boxes and rows on a run's page lead."""

from __future__ import annotations

from functools import cached_property
from uuid import UUID

from django_director.common import ids
from django_director.definitions import WorkflowStep
from django_director.drawing.picture import Box
from django_director.graph import OWN_TASK, Node
from django_director.models import Run

from . import formatting


class Links:
    """The addresses on the page of one run; they take a query if some steps are workflows."""

    def __init__(self, run: Run, site: str, tasks_per_page: int) -> None:
        self.run = run
        self.site = site
        self.tasks_per_page = tasks_per_page

    def of_box(self, box: Box) -> str:
        """Return the address of a box's child run, or else of its task.

        A folded box leads to the page of the table on which its tasks begin.
        """
        first = box.unit.positions[0]
        if box.unit.is_folded:
            return f"?page={first // self.tasks_per_page + 1}#tasks"
        task = formatting.address("task_change", ids.task_id(self.run.pk, first), site=self.site)
        return self.to_child(box) or task

    def to_task(self, pk: UUID) -> str:
        """Return the address of a task's page."""
        return formatting.address("task_change", pk, site=self.site)

    def to_child(self, box: Box) -> str | None:
        """Return the address of the child run of a box that is one step; ``None`` without a child run."""
        child = None if box.unit.is_folded else self._children.get(box.unit.positions[0])
        return None if child is None else self.to_run(child)

    @cached_property
    def _children(self) -> dict[int, UUID]:
        if not any(isinstance(node.step, WorkflowStep) for node in self.run.version.graph.nodes):
            return {}
        return dict(self.run.tasks.filter(child_run__isnull=False).values_list("position", "child_run"))

    def to_run(self, run_id: UUID) -> str:
        """Return the address of a run's page."""
        return formatting.address("run_change", run_id, site=self.site)


def called_name(node: Node) -> str:
    """Return the name of the Celery task or workflow that a step calls, or else the kind of the step."""
    if isinstance(node.step, WorkflowStep):
        return formatting.name(node.step.workflow)
    return formatting.name(node.name if node.name != OWN_TASK else node.kind)
