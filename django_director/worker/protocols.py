"""Protocols of a Celery task, a worker and its consumer, with the attributes that the worker's modules use.

The modules name these protocols in place of classes. So they need not import ``DirectorTask``, which imports them,
and they say which of Celery's attributes they use: Celery's stubs lack some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from celery import Celery
from celery.app.task import Context
from kombu import Connection

from django_director.definitions.call_plan import Plans


class StepTask(Protocol):
    """A Celery task that can be a step of a run: a ``DirectorTask``."""

    @property
    def app(self) -> Celery: ...

    @property
    def name(self) -> str: ...

    @property
    def request(self) -> Context:
        """What Celery knows of the execution that this thread works on."""

    @property
    def time_limit(self) -> float | None: ...

    @property
    def default_retry_delay(self) -> float: ...

    @property
    def plans(self) -> Plans:
        """How the task's function is called, for each set of arguments that a step gives."""

    def start_plainly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Call the user's ``before_start``, if there is one."""

    def run_plainly(self, /, *args: object, **kwargs: object) -> object:
        """Call the user's function."""


class TimerEntry(Protocol):
    """A call that a timer will make."""

    def cancel(self) -> object:
        """Make the call no more."""


class Timer(Protocol):
    """The timer of a worker."""

    def call_after(self, secs: float, fun: Callable[..., object], args: tuple[Any, ...] = ()) -> TimerEntry:
        """Call a function once, after ``secs`` seconds."""

    def call_repeatedly(self, secs: float, fun: Callable[..., object], args: tuple[Any, ...] = ()) -> TimerEntry:
        """Call a function every ``secs`` seconds."""


class Worker(Protocol):
    """A Celery worker, as its boot steps get it."""

    app: Celery
    hostname: str
    timer: Timer
    pool_cls: Any
    """The class of the pool, or its name."""
    pool: Any
    """``None`` until the pool has started."""
    use_eventloop: bool
    blueprint: Any
    time_limit: float | None
    soft_time_limit: float | None


class QualityOfService(Protocol):
    """How many messages a consumer may hold without an acknowledgement."""

    def increment_eventually(self) -> object:
        """Let it hold one more."""

    def decrement_eventually(self) -> object:
        """Let it hold one less."""


class Consumer(Protocol):
    """The consumer of a worker, which takes the messages from the broker."""

    app: Celery
    hostname: str
    connection: Connection
    connection_errors: tuple[type[BaseException], ...]
    timer: Timer
    qos: QualityOfService
    strategies: Mapping[str, Callable[..., Any]]

    def on_unknown_task(self, body: object, message: Message, exc: Exception) -> object:
        """Drop a message whose task this worker does not know, and log it."""


class Message(Protocol):
    """A message as it comes from the broker."""

    body: Any
    headers: dict[str, Any]
    properties: dict[str, Any]
    delivery_info: dict[str, Any]
    content_type: str
    content_encoding: str
