"""Tells what is wrong with one message, which others need not wait for, from what is wrong with the broker."""

from __future__ import annotations

import logging
import re
import struct
import time
from collections.abc import Sequence
from typing import Any, Final

from django.db import DatabaseError, DataError
from kombu import exceptions
from kombu.exceptions import LimitExceeded, OperationalError, SerializationError, SerializerNotInstalled

from django_director.common.json_values import storable_text

from .messages import Refusal
from .routing import Unroutable, said

logger = logging.getLogger(__name__)
_reported: dict[str, float] = {}
"""Until when a reason is not logged again."""


class _NeverRaised(Exception):
    pass


#: Older Kombu has no batches.
BatchPublishError: Final[type[Exception]] = getattr(exceptions, "BatchPublishError", _NeverRaised)
MAX_TEXT: Final = 500
OF_ONE_KEY: Final = re.compile(r"(?:^|caused error: )(?:WRONGTYPE|NOPERM)\b")
"""Redis's answers that are about a single queue. Others, as OOM and READONLY, are about all of them."""
ELSEWHERE: Final = "down or inaccessible"
"""What RabbitMQ says of a queue whose node is away."""
REPORT_SECONDS: Final = 60.0
"""How often one reason is logged for which messages can't be sent."""
MAX_REPORTED: Final = 1_000
_IN_PYTHON: Final = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error),
    *(SerializationError, SerializerNotInstalled, Unroutable),
)
"""What is raised before a broker is asked: it will be no other the next time."""


def cause_of(error: BaseException) -> BaseException:
    """What an error says under what a library has put around it."""
    wrapped = isinstance(error, (OperationalError, BatchPublishError, Unroutable))
    return error.__cause__ if wrapped and error.__cause__ is not None else error


def is_of_broker(error: BaseException, connection: Any) -> bool:
    """Whether no message can be sent, over this connection or any."""
    cause = cause_of(error)
    if isinstance(error, Unroutable) or isinstance(cause, (*_IN_PYTHON, DataError)):
        return False
    if isinstance(cause, (OSError, DatabaseError, LimitExceeded, OperationalError, *connection.connection_errors)):
        return True
    if isinstance(cause, connection.channel_errors):
        return is_redis(connection) and not OF_ONE_KEY.search(str(cause))
    return not connection.connected


def is_final(error: BaseException, connection: Any) -> bool:
    """Whether a message that was refused so will be refused again unless somebody changes something."""
    cause = cause_of(error)
    if isinstance(error, Unroutable) or isinstance(cause, (*_IN_PYTHON, DataError)):
        return True
    return isinstance(cause, connection.channel_errors) and ELSEWHERE not in str(cause)


def closes_channel(error: BaseException, connection: Any) -> bool:
    """Whether the channel can't be used any more."""
    return not isinstance(error, Unroutable) and not is_redis(connection)


def is_redis(connection: Any) -> bool:
    """Whether a connection is to Redis, whose channels are no more than ours."""
    return bool(connection.transport.driver_type == "redis")


def text_of(error: BaseException, queue: str) -> str:
    """Why a message can't be sent, as people read it and as it is stored."""
    cause = cause_of(error)
    try:
        what = said(cause)
    # An exception of the project's may fail to say what it is.
    except Exception:
        what = ""
    where = f"queue `{queue}`" if queue else "any queue"
    return storable_text(f"can't be sent to {where}: {type(cause).__name__}: {what}".rstrip(": "))[:MAX_TEXT]


def report(refused: Sequence[Refusal]) -> None:
    """Say what can't be sent, once a minute for each reason: the reason names the queue."""
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
