"""What people call a hook of a run: by the outcome it is for and, in a run with several, the number of that."""

from __future__ import annotations

from django_director.graph import Graph
from django_director.models import Task


def outcome_of(task: Task, graph: Graph) -> str | None:
    """``success``, ``failure``, ``canceled`` or ``always``: what a hook is for; ``None`` for a step."""
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
    """``failure hook``, ``failure hook, after outcome 2``: outcomes of a run are counted from 1."""
    text = f"{outcome} hook" if outcome else "hook"
    return f"{text}, after outcome {generation + 1}" if is_one_of_several else text


def of_task(task: Task) -> str:
    """The same for a task, '' for a step. ``task`` comes with its run and version."""
    if not task.is_hook:
        return ""
    outcome = outcome_of(task, task.run.version.graph)
    return hook_text(outcome, task.generation, is_one_of_several=task.run.generation > 0)
