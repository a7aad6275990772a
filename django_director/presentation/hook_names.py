"""The names of a run's hooks as people read them: by outcome and, if a run has had several, by its number."""

from __future__ import annotations

from django_director.graph import Graph
from django_director.models import Task


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


def hook_text(outcome: str | None, generation: int, *, is_one_of_several: bool) -> str:
    """Return the name of a hook: ``failure hook``, or ``failure hook, after outcome 2``.

    The outcomes of a run are counted from 1, and ``generation`` from 0.
    """
    text = f"{outcome} hook" if outcome else "hook"
    return f"{text}, after outcome {generation + 1}" if is_one_of_several else text


def of_task(task: Task) -> str:
    """Return the name of a task that is a hook, and an empty text for a step.

    ``task`` must have been read with its run and version.
    """
    if not task.is_hook:
        return ""
    outcome = outcome_of(task, task.run.version.graph)
    return hook_text(outcome, task.generation, is_one_of_several=task.run.generation > 0)
