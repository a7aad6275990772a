"""The class of Celery tasks that can be steps of workflows.

The project imports this module when it makes its Celery app, before Django's apps are loaded. So functions import
what needs models.
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
from django_director.dispatch.messages import HEADER, SIZE
from django_director.exceptions import Misuse

if TYPE_CHECKING:
    from datetime import datetime

    from celery.app.task import Context
    from celery.canvas import Signature

    from django_director.definitions import Retry

    from .attempts import Attempt, Request

    BaseTask = DjangoTask[Any, Any]
else:
    # At run time Celery's classes are not generic.
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
        """The function that Celery calls with each message: its tracer, but first a task of a run is claimed."""
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
        """How this task is called, for each set of arguments that a step gives; found out once in a process."""
        plans: Plans | None = self.__dict__.get("director_plans")
        if plans is None:
            plans = Plans(self._signature())
            self.__dict__["director_plans"] = plans
        return plans

    def _signature(self) -> inspect.Signature:
        try:
            # `autoretry_for` makes Celery wrap `run`. The signature of a bound task has no `self`.
            return inspect.signature(getattr(self, "_orig_run", self.run))
        except (TypeError, ValueError):
            return ANYTHING

    def before_start(self, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Call the user's ``before_start``, which Celery calls before the task, but not for a task of a run.

        In a run the attempt calls it with ``start_plainly``, so that an error in it fails the attempt.
        """
        if _header_of(self.request) is None:
            super().before_start(task_id, args, kwargs)

    def start_plainly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Call the user's ``before_start``, if there is one."""
        super().before_start(str(self.request.id), args, kwargs)

    def run_plainly(self, /, *args: object, **kwargs: object) -> object:
        """Call the user's function, by the ``__call__`` of the user's base class if that has one."""
        custom = super().__call__
        if getattr(custom, "__func__", None) is Task.__call__:
            return self.run(*args, **kwargs)
        return custom(*args, **kwargs)

    def retry(
        self, args: tuple[Any, ...] | None = None, kwargs: dict[str, Any] | None = None, *more: Any, **options: Any
    ) -> exceptions.Retry:
        """Retry the task, like Celery's ``retry``. In a run no message is sent: the task waits in the database."""
        if self._in_run is None:
            return super().retry(args, kwargs, *more, **options)
        if args is not None or kwargs is not None:
            raise Misuse("self.retry() inside a run can't change the arguments: they come from the workflow")
        return self._retry_in_run(*more, **options)

    def replace(self, sig: Signature[R]) -> R:
        """Replace the task, like Celery's ``replace``. Raises ``Misuse`` in a run: its steps are fixed."""
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
            # `autoretry_for` has caught it, and the next attempt would raise it again.
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
        """The attempt that runs now. The request has it, because a task object may serve several requests."""
        attempt = getattr(self.request, "director_attempt", None)
        return attempt if getattr(attempt, "is_taken_up", False) else None

    def _new_attempt(self) -> Attempt | None:
        """Return the attempt that begins with this call; ``None`` outside of a run, and if the task calls itself.

        Raises the error because of which the attempt could not be prepared.
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
    if isinstance(header, dict) and SIZE in header:
        from . import batches  # needs models

        return batches.trace(task, tracer, header, request)
    from . import attempts  # needs models

    return attempts.trace(task, tracer, header, request)


def _header_in(request: Request) -> object:
    """Return the header of a message that names the task of a run; ``None`` if the message belongs to no run."""
    header, others = request.get(HEADER), request.get("headers")
    return others.get(HEADER) if header is None and isinstance(others, dict) else header


def _header_of(request: Context) -> object:
    """Return the header that names the task of a run; ``None`` if it has none, or was called without a message."""
    return None if request.called_directly else (request.headers or {}).get(HEADER)


class OutermostTask(DirectorTask):
    """The first base class of a task whose class is a ``DirectorTask`` with a ``__call__`` or ``before_start``.

    Celery calls the methods of this class first, and the attempt calls those of the project. A ``__call__`` of the
    project need not call that of ``DirectorTask``, and then nobody would claim the task.
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
    """Make each task of an app a ``DirectorTask``, also a task with a ``base`` of its own; but none of Celery's.

    The requests of each task report lost attempts from now on, also if their class is one of the project.
    """
    from .requests import loss_reporting_class  # imports modules that only a worker needs

    for name, task in app.tasks.items():
        own: Any = type(task)
        # Before the class of the task changes: the new class may hide the project's class of requests.
        task.Request = loss_reporting_class(task.Request)
        if name.startswith("celery.") or _is_adopted(own):
            continue
        ours = OutermostTask if issubclass(own, DirectorTask) else DirectorTask
        task.__class__ = type(own.__name__, (ours, own), {"__module__": own.__module__})


def _is_adopted(own: Any) -> bool:
    """Whether Celery calls the methods of ``DirectorTask`` or ``OutermostTask`` first for a task of this class."""
    return any(
        own.__call__ is ours.__call__ and own.before_start is ours.before_start
        for ours in (DirectorTask, OutermostTask)
    )
