"""What a workflow file says, as frozen values.

Expressions, and values with ``${{ … }}`` inside, are kept as the file has them: ``expressions`` compiles them.
Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

from django_director.common.problems import Place

from .trigger_rules import NONE_FAILED, TRIGGER_RULES, TriggerRule

NOWHERE: Final = Place(path="")

OnTimeout = Literal["reject", "approve", "skip"]
ON_TIMEOUT: Final[tuple[OnTimeout, ...]] = ("reject", "approve", "skip")
OnConflict = Literal["queue", "skip", "cancel_running"]
ON_CONFLICT: Final[tuple[OnConflict, ...]] = ("queue", "skip", "cancel_running")

Seconds = int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Further attempts of a task. ``max`` may be 0: then nothing retries, whatever the task itself says."""

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
class _Entry:
    """What an entry of ``tasks`` has, whatever its kind."""

    id: str
    """Unique in the workflow: the task's full name, ``NAME-2`` when repeated, or an explicit id."""
    needs: tuple[str, ...] | None = None
    """The ids it waits for; ``None``: the entry before it in its list."""
    when: Any = None
    """An expression, or a value that stands for itself; ``None``: no condition."""
    trigger_rule: str = NONE_FAILED
    description: str = ""
    queue: str | None = None
    """The queue the file asks for; ``None`` leaves it to the task's own options and routes. What a worker does
    for an entry that is no Celery task goes there too; containers have one only with a condition."""
    place: Place = field(default=NOWHERE, compare=False)

    @property
    def rule(self) -> TriggerRule:
        """The rule that ``trigger_rule`` names."""
        return TRIGGER_RULES[self.trigger_rule]

    @property
    def is_conditional(self) -> bool:
        """Whether something is to be judged before it: ``when``, or a rule that is not the usual one."""
        return self.when is not None or self.trigger_rule != NONE_FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStep(_Entry):
    """One Celery task of a workflow."""

    kind: ClassVar[Literal["task"]] = "task"
    task: str
    """The registered name of the Celery task."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments given by ``with:``."""
    retry: Retry | None = None
    timeout: Seconds | None = None
    priority: int | None = None
    continue_on_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Container(_Entry):
    """A group (members in parallel) or a chain (members in order)."""

    kind: Literal["group", "chain"]
    members: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MapStep(_Entry):
    """One instance of a chain of Celery tasks for each item of a list."""

    kind: ClassVar[Literal["map"]] = "map"
    over: Any
    """An expression that gives a list, or the list."""
    body: tuple[TaskStep, ...]
    """The only step has the map's id when the file says ``task:``."""
    max_parallel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStep(_Entry):
    """A child run."""

    kind: ClassVar[Literal["workflow"]] = "workflow"
    workflow: str
    payload: Any = field(default_factory=dict)
    timeout: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalStep(_Entry):
    """Waits for a person."""

    kind: ClassVar[Literal["approval"]] = "approval"
    prompt: str = ""
    permission: str | None = None
    """In place of ``approve_task``: ``app_label.codename``."""
    timeout: Seconds | None = None
    on_timeout: OnTimeout = ON_TIMEOUT[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitStep(_Entry):
    """A timer, with exactly one of ``seconds`` and ``until``."""

    kind: ClassVar[Literal["wait"]] = "wait"
    seconds: Seconds | str | None = None
    """What ``for`` says; a text has expressions in it, and comes to seconds or a duration."""
    until: Any = None
    """An expression or epoch seconds; a time that the file has as text is an expression here, in quotes."""


Step = TaskStep | Container | MapStep | WorkflowStep | ApprovalStep | WaitStep


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
    """A finished run goes beyond the last ``offset`` (-1: no limit) or when older than ``days``."""

    offset: int | None = None
    days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """How many runs at once, for each value of ``key`` when there is one."""

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
    """Who may run and steer it, besides the permissions; empty: whoever has those."""
    schedules: tuple[Schedule, ...] = ()
    retention: Retention | None = None
    source: str = field(default="", compare=False)
    """The text of this workflow in its file."""
    place: Place = field(default=NOWHERE, compare=False)

    def steps(self) -> Iterator[TaskStep]:
        """Every Celery task in the order of the file, those of maps included, without hooks."""
        return _task_steps(self.tasks)

    def entries(self) -> Iterator[Step]:
        """Every entry of ``tasks``, and of the groups and chains in it."""
        return _entries(self.tasks)

    def hook_steps(self) -> Iterator[TaskStep]:
        """Every Celery task of the hooks."""
        for steps in self.hooks.values():
            yield from steps


def _entries(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, Container):
            yield from _entries(step.members)


def _task_steps(steps: tuple[Step, ...]) -> Iterator[TaskStep]:
    for step in steps:
        if isinstance(step, TaskStep):
            yield step
        elif isinstance(step, Container):
            yield from _task_steps(step.members)
        elif isinstance(step, MapStep):
            yield from step.body


HOOK_PREFIX: Final = "hooks."
"""What the ids of hooks begin with: ``hooks.failure.PAGE``."""


def hook_label(id: str) -> str:
    """The id that the file has for a hook, or its task's name: ``PAGE`` of ``hooks.failure.PAGE``."""
    parts = id.split(".", 2)
    return parts[2] if len(parts) > 2 else id
