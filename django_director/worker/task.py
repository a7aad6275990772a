"""Celery tasks that can be steps of workflows.

This module is imported when the Celery app is made, before Django's apps are loaded: what needs models is
imported inside functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from celery import Celery, Task, exceptions
from celery.contrib.django.task import DjangoTask
from celery.exceptions import MaxRetriesExceededError

from django_director.definitions.call_plan import ANYTHING, Plans
from django_director.dispatch.publisher import HEADER
from django_director.exceptions import Misuse

if TYPE_CHECKING:
    from datetime import datetime

    from celery.app.task import Context
    from celery.canvas import Signature

    from django_director.definitions import Retry

    from .attempts import Attempt, Request

    BaseTask = DjangoTask[Any, Any]
else:
    # Celery's classes are generic for type checkers only.
    BaseTask = DjangoTask


R = TypeVar("R")

Tracer: TypeAlias = Callable[..., object]
"""The function by which Celery runs a task for a message."""


class DirectorTask(BaseTask):
    """A Celery task that can be a step of a workflow."""

    abstract = True
    Request = "django_director.worker.requests:DirectorRequest"

    @property
    def __trace__(self) -> Tracer | None:
        """What Celery calls with each message: its tracer and, for a message of a run, the claim before it."""
        return self.__dict__.get("director_trace")

    @__trace__.setter
    def __trace__(self, tracer: Tracer | None) -> None:
        self.__dict__["director_trace"] = None if tracer is None else partial(_trace, self, tracer)

    def __call__(self, /, *args: object, **kwargs: object) -> object:
        attempt = self._new_attempt()
        return super().__call__(*args, **kwargs) if attempt is None else self._perform(attempt)

    def _perform(self, attempt: Attempt) -> object:
        from . import execution  # needs models

        return execution.perform(self, attempt)

    @property
    def plans(self) -> Plans:
        """How this task is called, by what a step gives; worked out once in a process."""
        plans: Plans | None = self.__dict__.get("director_plans")
        if plans is None:
            plans = Plans(self._signature())
            self.__dict__["director_plans"] = plans
        return plans

    def _signature(self) -> inspect.Signature:
        try:
            # Celery wraps `run` for `autoretry_for`; of bound tasks this is without `self`.
            return inspect.signature(getattr(self, "_orig_run", self.run))
        except (TypeError, ValueError):
            return ANYTHING

    def before_start(self, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """As Celery's; inside a run it is part of the attempt, or what it raises would be nobody's failure."""
        if _header_of(self.request) is None:
            super().before_start(task_id, args, kwargs)

    def start_plainly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Call the user's ``before_start``, where there is one."""
        super().before_start(str(self.request.id), args, kwargs)

    def run_plainly(self, /, *args: object, **kwargs: object) -> object:
        """Run the user's function, through a ``__call__`` of its own base class when there is one."""
        custom = super().__call__
        if getattr(custom, "__func__", None) is Task.__call__:
            return self.run(*args, **kwargs)
        return custom(*args, **kwargs)

    def retry(
        self, args: tuple[Any, ...] | None = None, kwargs: dict[str, Any] | None = None, *more: Any, **options: Any
    ) -> exceptions.Retry:
        """As Celery's ``retry``; inside a run the row waits in the database and nothing is published."""
        if self._in_run is None:
            return super().retry(args, kwargs, *more, **options)
        if args is not None or kwargs is not None:
            raise Misuse("self.retry() inside a run can't change the arguments: they come from the workflow")
        return self._retry_in_run(*more, **options)

    def replace(self, sig: Signature[R]) -> R:
        """As Celery's ``replace``; refused inside a run, whose steps are known from its definition."""
        if self._in_run is None:
            return super().replace(sig)
        raise Misuse("self.replace() does not work inside a run: add the task to the workflow as a step")

    def _retry_in_run(
        self,
        exc: Exception | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **_: object,
    ) -> exceptions.Retry:
        if isinstance(exc, (Misuse, exceptions.Ignore, exceptions.Reject)):
            # Of `autoretry_for`: the next attempt would do the same.
            raise exc
        policy: Retry | None = self.request.get("director_policy")
        limit = policy.max if policy is not None else self.max_retries if max_retries is None else max_retries
        if limit is not None and self.request.retries >= limit:
            raise exc or MaxRetriesExceededError(f"can't retry {self.name}: {limit} retries are spent")
        when: Any = eta if eta is not None else self.default_retry_delay if countdown is None else countdown
        retry = exceptions.Retry(exc=exc, when=when)
        if throw:
            raise retry
        request: Any = self.request
        request.director_retry = retry
        return retry

    @property
    def _in_run(self) -> Attempt | None:
        """The attempt in work. It lives with the request: one task object serves many, also at the same time."""
        attempt = getattr(self.request, "director_attempt", None)
        return attempt if getattr(attempt, "is_taken_up", False) else None

    def _new_attempt(self) -> Attempt | None:
        """The attempt that Celery comes to now, unless it is in work already (a task that calls itself).

        Raises what kept it from being made.
        """
        request: Any = self.request
        attempt: Any = getattr(request, "director_attempt", None)
        if isinstance(attempt, Exception):
            raise attempt
        if attempt is not None:
            return None if attempt.is_taken_up else attempt
        if _header_of(request) is None:
            return None
        from .attempts import refuse  # needs models

        refuse(self, "no broker has delivered it; do not pass the headers of a run's message on to other tasks")
        raise exceptions.Ignore


def _trace(
    task: DirectorTask,
    tracer: Tracer,
    task_id: str,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    request: Request | None = None,
) -> object:
    header = None if not request or "director_attempt" in request else _header_in(request)
    if header is None or request is None:
        return tracer(task_id, args, kwargs, request)
    from . import attempts  # needs models

    return attempts.trace(task, tracer, header, request)


def _header_in(request: Request) -> object:
    """What a message says of its task in a run; ``None`` for a message of no run."""
    header, others = request.get(HEADER), request.get("headers")
    return others.get(HEADER) if header is None and isinstance(others, dict) else header


def _header_of(request: Context) -> object:
    """The same by the request of a task, which may have been called without a message."""
    return None if request.called_directly else (request.headers or {}).get(HEADER)


class OutermostTask(DirectorTask):
    """A ``DirectorTask`` whose class has a ``__call__`` or ``before_start`` of its own: called inside the run.

    A ``__call__`` may never come to ours, and then nobody would claim the task.
    """

    abstract = True

    def __call__(self, /, *args: object, **kwargs: object) -> object:
        attempt = self._new_attempt()
        return super().__call__(*args, **kwargs) if attempt is None else self._perform(attempt)

    def before_start(self, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if _header_of(self.request) is None:
            super().before_start(task_id, args, kwargs)

    def start_plainly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().before_start(str(self.request.id), args, kwargs)

    def run_plainly(self, /, *args: object, **kwargs: object) -> object:
        custom: Any = super().__call__
        if custom.__func__ is DirectorTask.__call__:
            return super().run_plainly(*args, **kwargs)
        return custom(*args, **kwargs)


def adopt(app: Celery) -> None:
    """Make every task with a ``base`` of its own a ``DirectorTask`` too, and one that is called as such.

    Its requests tell of lost attempts, also those of a class of its own.
    """
    from .requests import attentive  # imports what only a worker has

    for name, task in app.tasks.items():
        own: Any = type(task)
        # Before it has another class, whose own may hide a project's.
        task.Request = attentive(task.Request)
        if name.startswith("celery.") or _is_adopted(own):
            continue
        ours = OutermostTask if issubclass(own, DirectorTask) else DirectorTask
        task.__class__ = type(own.__name__, (ours, own), {"__module__": own.__module__})


def _is_adopted(own: Any) -> bool:
    return any(
        own.__call__ is ours.__call__ and own.before_start is ours.before_start
        for ours in (DirectorTask, OutermostTask)
    )
