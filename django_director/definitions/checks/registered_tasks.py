"""The check of steps against the Celery tasks that are registered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from inspect import Signature
from typing import Final

from django_director.common.problems import Problem
from django_director.common.suggestions import CERTAIN, MAX_HINTS, nearest
from django_director.definitions.call_plan import ArgumentsError, Plan, Plans
from django_director.definitions.definition import Definition, TaskStep
from django_director.definitions.source import codes

from .upstream import with_upstream

SignatureOf = Callable[[str], Signature | None]


def check_tasks(
    definitions: Iterable[Definition], signature_of: SignatureOf, known: Collection[str]
) -> list[Problem]:
    """Return problems with unknown tasks, and with calls that can't work, in the order of the definitions.

    ``known`` are the names of all tasks. ``signature_of`` returns a known task's parameters without ``self``, or
    ``None`` when they can't be read: such a task is called with whatever its step gives.
    """
    checker = _Checker(signature_of, known)
    return [problem for definition in definitions for problem in checker.check(definition)]


@dataclass(slots=True)
class _Checker:
    signature_of: SignatureOf
    known: Collection[str]
    plans: dict[str, Plans | None] = field(default_factory=dict)
    hints: dict[str, tuple[str, str]] = field(default_factory=dict)
    by_function: dict[str, list[str]] = field(default_factory=dict)
    """The full names of tasks by their last part. It is filled when the first unknown name is met."""

    def check(self, definition: Definition) -> Iterator[Problem]:
        for step, has_upstream in with_upstream(definition):
            problem = self.problem(definition, step, has_upstream=has_upstream)
            if problem is not None:
                yield problem

    def problem(self, definition: Definition, step: TaskStep, *, has_upstream: bool) -> Problem | None:
        if not step.task:
            # The reader has said what is wrong with it.
            return None
        if step.task not in self.known:
            message, code = f"no Celery task is called “{step.task}”", codes.UNKNOWN_TASK
            hint, near = self.hint(step.task)
            return _problem(definition, step, code, message, hint, about=near)
        plans = self.plans_of(step.task)
        if plans is None:
            return None
        try:
            plan = plans.plan(step.kwargs, has_upstream)
        except ArgumentsError as error:
            return _problem(definition, step, error.code, f"the task “{step.task}”: {error}", error.hint)
        return _note_filled(definition, step, plans, plan)

    def plans_of(self, name: str) -> Plans | None:
        if name not in self.plans:
            signature = self.signature_of(name)
            self.plans[name] = None if signature is None else Plans(signature)
        return self.plans[name]

    def hint(self, name: str) -> tuple[str, str]:
        """Return the hint for an unknown task, and the name of the task that was most likely meant."""
        if name not in self.hints:
            meant = self.meant(name) if len(self.hints) < MAX_HINTS else []
            listed = " or ".join(f"“{one}”" for one in meant[:_LISTED])
            self.hints[name] = (
                f"did you mean {listed}?" if meant else _NO_TASK,
                meant[0] if len(meant) == 1 else "",
            )
        return self.hints[name]

    def meant(self, name: str) -> list[str]:
        """Return the tasks that an unknown name may stand for: those of such a function, or the nearest."""
        if not self.by_function:
            for known in sorted(self.known):
                if not known.startswith("celery."):
                    self.by_function.setdefault(known.rpartition(".")[2], []).append(known)
        if found := self.by_function.get(name):
            return found
        near = "" if "." in name else nearest(name, self.by_function)
        near = near or nearest(name, self.known)
        return self.by_function.get(near, [near]) if near else []


def _note_filled(definition: Definition, step: TaskStep, plans: Plans, plan: Plan) -> Problem | None:
    """Note a misspelt key of `with` that ``**kwargs`` takes while the upstream result fills the parameter."""
    filled = plan.filled_by_upstream
    surplus = step.kwargs.keys() - plans.signature.parameters.keys()
    near = nearest(filled, surplus, CERTAIN) if filled else ""
    if not near:
        return None
    message = f"the task “{step.task}”: `{filled}` gets the result of the step before, and `with` has `{near}`"
    hint = f"write `{filled}` in `with`, if that is meant"
    return _problem(definition, step, codes.FILLED, message, hint, level="note")


_LISTED: Final = 3
_NO_TASK: Final = "is its module imported? Celery reads `tasks.py` of each installed app"


def _problem(
    definition: Definition,
    step: TaskStep,
    code: str,
    message: str,
    hint: str,
    about: str = "",
    level: str = "error",
) -> Problem:
    return Problem(
        place=step.place,
        code=code,
        message=message,
        hint=hint,
        workflow=definition.name,
        step=step.id,
        about=about,
        level=level,
    )
