"""The check of queues, where Celery makes none by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from typing import Final

from django_director.common.problems import Problem
from django_director.common.suggestions import question
from django_director.definitions.definition import Definition, Step, TaskStep
from django_director.definitions.kinds import Container
from django_director.definitions.source import codes

Refused = Callable[[str, str], str | None]

_NO_QUEUE: Final = "declare it in `task_queues` of the Celery app, or set `task_create_missing_queues`"


def check_destinations(
    definitions: Iterable[Definition], refused: Refused, own_task: str, known: Collection[str]
) -> list[Problem]:
    """Return a problem for each queue that Celery would refuse, at the first step that goes there.

    Each queue is told once for a workflow. ``refused`` takes the name of a Celery task and the queue that the file
    asks for, and returns the queue for which Celery would refuse the task, or ``None``. ``own_task`` is the Celery
    task of steps that are none; ``known`` are Celery's queues.
    """
    problems = []
    # To ask Celery takes longer than all other checks of a step.
    ask = cache(refused)
    for definition in definitions:
        seen: set[str] = set()
        for step, name in _tasks(definition, own_task):
            queue = ask(name, step.queue or "")
            if queue is not None and queue not in seen:
                seen.add(queue)
                problems.append(_problem(definition, step, queue, known))
    return problems


def _tasks(definition: Definition, own_task: str) -> Iterator[tuple[Step, str]]:
    """Yield each step for which a message is sent, with the Celery task that the message is for."""
    for entry in definition.entries():
        if not isinstance(entry, TaskStep) and (not isinstance(entry, Container) or entry.is_conditional):
            yield entry, own_task
    for step in (*definition.steps(), *definition.hook_steps()):
        if step.task:
            yield step, step.task


def _problem(definition: Definition, step: Step, queue: str, known: Collection[str]) -> Problem:
    said = "" if step.queue == queue else ", to which Celery's settings send it,"
    return Problem(
        place=step.place,
        code=codes.REFUSED_QUEUE,
        message=f"the queue “{queue}”{said} is none that Celery knows",
        hint=question(queue, known) or _NO_QUEUE,
        workflow=definition.name,
        step=step.id,
    )
