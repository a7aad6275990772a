"""The names of a run's hooks as people read them: by outcome and, if a run has had several, by its number."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_director.graph import Graph
from django_director.models import Task

HOOKS: Final = {
    "success": gettext_lazy("success hook"),
    "failure": gettext_lazy("failure hook"),
    "canceled": gettext_lazy("canceled hook"),
    "always": gettext_lazy("always hook"),
}
"""The names of hooks, by outcome."""


def outcome_of(task: Task, graph: Graph) -> str | None:
    """Return the outcome of a hook: ``success``, ``failure``, ``canceled`` or ``always``; ``None`` for a step."""
    if not task.is_hook:
        return None
    return next(
        (
            outcome
            for outcome, chain in graph.hooks.items()
            if any(node.position == task.position for node in chain)
        ),
        None,
    )


def hook_text(outcome: str | None, generation: int, is_one_of_several: bool) -> str:
    """Return the name of a hook: ``failure hook``, or ``failure hook, after outcome 2``.

    The outcomes of a run are counted from 1, and ``generation`` from 0.
    """
    text = str(HOOKS.get(outcome or "", _("hook")))
    if not is_one_of_several:
        return text
    return _("%(hook)s, after outcome %(number)s") % {"hook": text, "number": generation + 1}


def of_task(task: Task) -> str:
    """Return the name of a task that is a hook, and an empty text for a step.

    ``task`` must have been read with its run and version.
    """
    if not task.is_hook:
        return ""
    outcome = outcome_of(task, task.run.version.graph)
    return hook_text(outcome, task.generation, task.run.generation > 0)
