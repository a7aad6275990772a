"""Tells errors of a single message from errors of the broker.

After an error of the broker no message can be sent. After an error of one message the others can.
"""

from __future__ import annotations

import logging
import re
import struct
import time
from collections.abc import Sequence
from typing import Final

from django.db import DatabaseError, DataError
from kombu import Connection, exceptions
from kombu.exceptions import LimitExceeded, OperationalError, SerializationError, SerializerNotInstalled

from django_director.common.json_values import storable_text

from .messages import Message, Refusal
from .routing import Unroutable, destination, error_message

logger = logging.getLogger(__name__)
_reported: dict[str, float] = {}
"""For each reason the time of the monotonic clock until which it is not logged again."""


class _NeverRaised(Exception):
    pass


#: Older versions of Kombu have no batches, and so never raise this error.
BatchPublishError: Final[type[Exception]] = getattr(exceptions, "BatchPublishError", _NeverRaised)
MAX_TEXT: Final = 500
OF_ONE_KEY: Final = re.compile(r"(?:^|caused error: )(?:WRONGTYPE|NOPERM)\b")
"""Redis's errors that concern a single queue. Others, such as OOM and READONLY, concern all queues."""
ELSEWHERE: Final = "down or inaccessible"
"""A part of RabbitMQ's error for a queue whose node is away."""
REPORT_SECONDS: Final = 60.0
"""Seconds in which each reason for which messages can't be sent is logged once."""
MAX_REPORTED: Final = 1_000
_IN_PYTHON: Final = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error),
    *(SerializationError, SerializerNotInstalled, Unroutable),
)
"""Errors that are raised before the broker is asked: another try would raise them again."""


def cause_of(error: BaseException) -> BaseException:
    """Return the original error behind one that a library has put around it, or the error itself."""
    wrapped = isinstance(error, (OperationalError, BatchPublishError, Unroutable))
    return error.__cause__ if wrapped and error.__cause__ is not None else error


def is_of_broker(error: BaseException, connection: Connection) -> bool:
    """Whether the error is one of the broker or the connection, after which no message can be sent."""
    cause = cause_of(error)
    if isinstance(error, Unroutable) or isinstance(cause, (*_IN_PYTHON, DataError)):
        return False
    if isinstance(cause, (OSError, DatabaseError, LimitExceeded, OperationalError, *connection.connection_errors)):
        return True
    if isinstance(cause, connection.channel_errors):
        return is_redis(connection) and not OF_ONE_KEY.search(str(cause))
    return not connection.connected


def refusal_of(message: Message, error: BaseException, connection: Connection) -> Refusal:
    """Return the refusal of ``message``, which met ``error`` over ``connection``."""
    queue = error.queue if isinstance(error, Unroutable) else destination(message.name, message.queue)
    return Refusal(message=message, why=text_of(error, queue), is_final=is_final(error, connection))


def is_final(error: BaseException, connection: Connection) -> bool:
    """Whether the message that met ``error`` will be refused until somebody changes the code or the settings."""
    cause = cause_of(error)
    if isinstance(error, Unroutable) or isinstance(cause, (*_IN_PYTHON, DataError)):
        return True
    return isinstance(cause, connection.channel_errors) and ELSEWHERE not in str(cause)


def closes_channel(error: BaseException, connection: Connection) -> bool:
    """Whether the channel of the connection can't be used any more after ``error``."""
    return not isinstance(error, Unroutable) and not is_redis(connection)


def is_redis(connection: Connection) -> bool:
    """Whether a connection leads to Redis. Its channels exist in this process only, and no error closes them."""
    return bool(connection.transport.driver_type == "redis")


def text_of(error: BaseException, queue: str) -> str:
    """Return the reason why a message can't be sent to ``queue``, as people read it and as it is stored."""
    cause = cause_of(error)
    try:
        what = error_message(cause)
    # The `__str__` of an exception of the project may raise.
    except Exception:
        what = ""
    where = f"queue `{queue}`" if queue else "any queue"
    return storable_text(f"can't be sent to {where}: {type(cause).__name__}: {what}".rstrip(": "))[:MAX_TEXT]


def report(refused: Sequence[Refusal]) -> None:
    """Log which messages can't be sent, each reason once a minute; the reason names the queue."""
    now = time.monotonic()
    for refusal in refused:
        message = refusal.message
        if now < _reported.get(refusal.why, 0.0):
            continue
        if len(_reported) >= MAX_REPORTED:
            _reported.clear()
        _reported[refusal.why] = now + REPORT_SECONDS
        logger.error(
            "Task “%s” %s. It is tried again, and so are others like it; what can be sent goes on.",
            message.name,
            refusal.why,
            extra={"action": "publish", "run_id": str(message.run_id), "task": str(message.task_id)},
        )
