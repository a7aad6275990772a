"""What a workflow file says, as frozen values.

Expressions, and values with ``${{ … }}`` inside, are kept as the file has them: ``expressions`` compiles them.
Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

from django_director.common.problems import Place

from .trigger_rules import NONE_FAILED, TRIGGER_RULES, TriggerRule

NOWHERE: Final = Place(path="")

OnConflict = Literal["queue", "skip", "cancel_running"]
ON_CONFLICT: Final[tuple[OnConflict, ...]] = ("queue", "skip", "cancel_running")

Seconds = int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Further attempts of a task. With ``max`` 0 nothing retries, whatever the task itself asks for."""

    max: int
    delay: Seconds = 0
    backoff: int | float = 1
    """The factor from one delay to the next."""
    max_delay: Seconds = 3600
    jitter: bool = False
    only: tuple[str, ...] = ()
    """Names of exception classes, dotted or bare; empty means any."""
    never: tuple[str, ...] = ()
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One entry of ``tasks``. Each kind of step has a class of its own, see ``kinds``."""

    passes_on: ClassVar[bool] = False
    """Whether the result of such a step is what it received."""

    id: str
    """Unique in the workflow: the task's full name, ``NAME-2`` when repeated, or an explicit id."""
    needs: tuple[str, ...] | None = None
    """The ids it waits for; ``None``: the entry before it in its list."""
    when: Any = None
    """An expression, or a value that stands for itself; ``None``: no condition."""
    trigger_rule: str = NONE_FAILED
    description: str = ""
    queue: str | None = None
    """The queue that the file asks for; ``None`` leaves it to the task's own options and routes.

    What a worker does for a step that is no Celery task goes there too. A container has a queue only with a
    condition.
    """
    place: Place = field(default=NOWHERE, compare=False)

    @property
    def kind(self) -> str:
        """The name of its kind, as ``type`` of a file has it."""
        raise NotImplementedError

    @property
    def members(self) -> tuple[Step, ...]:
        """The steps that stand in it and have ids of their own in the workflow."""
        return ()

    @property
    def body(self) -> tuple[TaskStep, ...]:
        """The Celery tasks that it runs for each item of a list."""
        return ()

    @property
    def batch(self) -> int | None:
        """How many of the tasks in it one message takes at most; ``None``: one."""
        return None

    @property
    def in_batches(self) -> tuple[Step, ...]:
        """The steps in it that run in batches."""
        return ()

    @property
    def rule(self) -> TriggerRule:
        """The rule that ``trigger_rule`` names."""
        return TRIGGER_RULES[self.trigger_rule]

    @property
    def is_conditional(self) -> bool:
        """Whether something is decided before it runs: by ``when``, or by a rule that is not the usual one."""
        return self.when is not None or self.trigger_rule != NONE_FAILED

    def expressions(self) -> Mapping[str, Any]:
        """Return the expressions that a worker evaluates for it, besides ``when``, by their keys in the file."""
        return {}

    def templates(self) -> Mapping[str, Any]:
        """Return the values in which ``${{ … }}`` is evaluated, by their keys in the file."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStep(Step):
    """One Celery task of a workflow. It stands here, for hooks and the bodies of maps consist of such steps."""

    kind: ClassVar[Literal["task"]] = "task"
    task: str
    """The registered name of the Celery task."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments given by ``with:``."""
    retry: Retry | None = None
    timeout: Seconds | None = None
    priority: int | None = None
    continue_on_error: bool = False

    def templates(self) -> Mapping[str, Any]:
        return {"with": self.kwargs} if self.kwargs else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One entry of ``periodic``."""

    kind: Literal["interval", "crontab"]
    value: str
    """Seconds of an interval, or "minute hour day_of_month month_of_year day_of_week"."""
    timezone: str | None = None
    """A zone's name; ``None`` means Celery's."""
    enabled: bool = True
    payload: Any = field(default_factory=dict)
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How many finished runs are kept (``offset``; -1: no limit), and for how many ``days``."""

    offset: int | None = None
    days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """How many runs may be active at once; with a ``key``, for each of its values."""

    limit: int = 1
    key: Any = None
    """An expression, or a value that stands for itself."""
    on_conflict: OnConflict = ON_CONFLICT[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One workflow of a file."""

    name: str
    description: str = ""
    tasks: tuple[Step, ...] = ()
    hooks: dict[str, tuple[TaskStep, ...]] = field(default_factory=dict)
    """By outcome, ``success``, ``failure``, ``canceled``, and ``always``: a chain of tasks, never empty."""
    schema: Any = None
    """A JSON Schema (a mapping or a boolean), or ``None``."""
    timeout: Seconds | None = None
    fail_fast: bool = False
    concurrency: Concurrency | None = None
    result: Any = None
    """An expression; ``None``: the result of the last entry of ``tasks``."""
    allowed_groups: tuple[str, ...] = ()
    """The groups whose members may run and steer it if they have the permissions; empty: all groups."""
    schedules: tuple[Schedule, ...] = ()
    retention: Retention | None = None
    source: str = field(default="", compare=False)
    """The text of this workflow in its file."""
    place: Place = field(default=NOWHERE, compare=False)

    def steps(self) -> Iterator[TaskStep]:
        """Yield every Celery task in the order of the file, those of maps included, without hooks."""
        return _task_steps(self.tasks)

    def entries(self) -> Iterator[Step]:
        """Yield every entry of ``tasks``, and of the groups and chains in it."""
        return _entries(self.tasks)

    def hook_steps(self) -> Iterator[TaskStep]:
        """Yield every Celery task of the hooks."""
        for steps in self.hooks.values():
            yield from steps


def _entries(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _entries(step.members)


def _task_steps(steps: tuple[Step, ...]) -> Iterator[TaskStep]:
    for step in steps:
        if isinstance(step, TaskStep):
            yield step
        yield from step.body
        yield from _task_steps(step.members)


OUTCOMES: Final = ("success", "failure", "canceled", "always")
"""The outcomes that may have hooks, in the order in which people read of them."""
HOOK_PREFIX: Final = "hooks."
"""The ids of hooks begin with it: ``hooks.failure.PAGE``."""


def hook_label(id: str) -> str:
    """Return the id that the file has for a hook, or its task's name: ``PAGE`` of ``hooks.failure.PAGE``."""
    parts = id.split(".", 2)
    return parts[2] if len(parts) > 2 else id
