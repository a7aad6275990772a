"""Where the boxes and rows of a run's page lead to."""

from __future__ import annotations

from functools import cached_property
from uuid import UUID

from django_director.common import ids
from django_director.definitions import WorkflowStep
from django_director.drawing.picture import Box
from django_director.graph import OWN_TASK, Node
from django_director.models import Run, Task

from . import formatting


class Links:
    """The addresses of the page of one run; a query where steps are workflows."""

    def __init__(self, run: Run, site: str, tasks_per_page: int) -> None:
        self.run = run
        self.site = site
        self.tasks_per_page = tasks_per_page

    def of_box(self, box: Box) -> str:
        """To its child run, else its task; of a folded box to the page of the table where its tasks begin."""
        first = box.unit.positions[0]
        if box.unit.is_folded:
            return f"?page={first // self.tasks_per_page + 1}#tasks"
        task = formatting.address("task_change", ids.task_id(self.run.pk, first), site=self.site)
        return self.to_child(box) or task

    def to_child(self, box: Box) -> str | None:
        """To the child run of a box that is one step."""
        child = None if box.unit.is_folded else self._children.get(box.unit.positions[0])
        return None if child is None else self._to_run(child)

    def of_row(self, task: Task) -> str | None:
        """To the child run of a task; '' when there may be one later, ``None`` when never."""
        if task.child_run is not None:
            return self._to_run(task.child_run)
        step = self.run.version.graph.node(task.position).step
        return "" if isinstance(step, WorkflowStep) else None

    @cached_property
    def _children(self) -> dict[int, UUID]:
        if not any(isinstance(node.step, WorkflowStep) for node in self.run.version.graph.nodes):
            return {}
        return dict(self.run.tasks.filter(child_run__isnull=False).values_list("position", "child_run"))

    def _to_run(self, run_id: UUID) -> str:
        return formatting.address("run_change", run_id, site=self.site)


def what_runs(node: Node) -> str:
    """The name of the Celery task or of the workflow that a step is, else its kind."""
    if isinstance(node.step, WorkflowStep):
        return formatting.name(node.step.workflow)
    return formatting.name(node.name if node.name != OWN_TASK else node.kind)
