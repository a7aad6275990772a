"""The check of `batch`: what a batch can't do for each of its tasks as it is done without one is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from django_director.common.problems import Problem
from django_director.definitions.definition import Definition, Step, TaskStep
from django_director.definitions.source import codes

LimitsOf = Callable[[str], str]
"""A function that says in words which limit a task has of its own, by the name of the task; empty for none."""


class Reason(NamedTuple):
    """Why a step can't have a `batch`."""

    message: str
    hint: str


def find_problem(step: Step) -> Reason | None:
    """Return why a step can't have its `batch`, as far as the file tells; ``None``: it can."""
    tasks = step.in_batches
    if step.kind == "chain":
        message = f"“{step.id}” has a `batch`, and is a chain: its steps wait for each other"
        return Reason(message, "a group or a map can have one")
    others = [one for one in step.members if not isinstance(one, TaskStep)]
    of_one = f"“{step.id}” has a `batch`, so it must consist of one task"
    if step.body and len(tasks) > 1:
        return Reason(f"{of_one}, and it has a chain of {len(tasks)}", "take `batch` out, or make them one task")
    if others:
        return Reason(
            f"{of_one}, and “{others[0].id}” is of type `{others[0].kind}`", "put it outside of the group"
        )
    names = list(dict.fromkeys(task.task for task in tasks if isinstance(task, TaskStep)))
    if len(names) > 1:
        return Reason(f"{of_one}, and it has “{names[0]}” and “{names[1]}”", "make a group of each task")
    return next(filter(None, (_of_member(step, task, tasks[0]) for task in tasks)), None)


def _of_member(step: Step, task: Step, first: Step) -> Reason | None:
    if not isinstance(task, TaskStep) or not isinstance(first, TaskStep):
        return None
    where = f"“{step.id}” has a `batch`, and " + ("its task" if task.id == step.id else f"“{task.id}”")
    if task.timeout is not None:
        return Reason(
            f"{where} has a `timeout`, which can't end one task of a batch alone",
            "take `batch` out, or the `timeout`; `defaults` may give it",
        )
    if task.needs is not None:
        return Reason(f"{where} has `needs`: the tasks of a batch start together", "take `needs` or `batch` out")
    if _routing(task) != _routing(first):
        return Reason(
            f"{where} has another `queue`, `priority` or `trigger_rule` than “{first.id}”: one message takes both",
            "give all members the same, or make a group of each",
        )
    return None


def _routing(task: TaskStep) -> tuple[object, ...]:
    return task.queue, task.priority, task.trigger_rule


def check_batches(definitions: Iterable[Definition], limits_of: LimitsOf) -> list[Problem]:
    """Return a problem for each step with a `batch` whose task has a limit of its own."""
    return [problem for definition in definitions for problem in _check(definition, limits_of)]


def _check(definition: Definition, limits_of: LimitsOf) -> Iterator[Problem]:
    for step in definition.entries():
        names = {task.task for task in step.in_batches if isinstance(task, TaskStep)}
        for name in sorted(names) if step.batch is not None else ():
            if limit := limits_of(name):
                yield Problem(
                    place=step.place,
                    code=codes.BATCH,
                    message=f"“{step.id}” has a `batch`, and its task “{name}” has {limit}",
                    hint="take `batch` out: the tasks of a batch share one message, so Celery can't limit each",
                    workflow=definition.name,
                    step=step.id,
                )
