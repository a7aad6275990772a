"""Questions and orders to all workers by Celery's remote control, and the question whether the broker answers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from . import installation, publisher, routing
from .connections import connect, mailbox
from .messages import Message
from .routing import Unroutable, name_of

logger = logging.getLogger(__name__)

WHO_KNOWS: Final = "director_who_knows"
"""The command that a worker answers with the tasks it knows."""
KILL: Final = "director_kill"
"""The command by which a worker kills tasks that it runs."""
ANSWER_SECONDS: Final = 2.0
"""How many seconds workers have for an answer."""


def kill(message_ids: Sequence[str]) -> None:
    """Ask all workers to kill the tasks that they run under these Celery ids.

    It takes a few seconds at most. It raises nothing: if the broker does not take the order that is logged.
    """
    if publisher.is_silent() or publisher.is_uncommitted():
        return
    app = routing.app()
    try:
        with connect(app) as connection:
            mailbox(app, connection).abcast(KILL, {"messages": list(message_ids)})
    # The run is stopped even if the broker, or a project's own `control`, raises an error.
    except Exception as error:
        logger.warning("The broker did not take the order to kill (%s).", type(error).__name__)


def broker_refusal() -> str:
    """Return why the broker can't be reached, empty if it can; it takes a few seconds at most to find out.

    That is what is not installed, or else the class of the error: its text may hold a part of the password.
    """
    try:
        with connect(routing.app()) as connection:
            connection.connect()
    # A transport may raise any error, also for a URL that it can't use.
    except Exception as error:
        logger.info("The broker does not answer (%s).", type(error).__name__)
        return str(error) if isinstance(error, ImportError) else type(error).__name__
    return ""


def find_known(messages: Sequence[Message]) -> list[Message] | None:
    """Ask all workers which tasks they know; return the messages that one of them could take.

    Such a worker knows the message's task and takes from its queue. A worker without remote control does not
    answer, and messages that can't be routed are not asked for. ``None``: the broker did not take the question.
    """
    if publisher.breaker.is_open or publisher.is_silent():
        return None
    app = routing.app()
    places = {message: _queue_of(message) for message in messages}
    asked = [message for message, queue in places.items() if queue is not None]
    try:
        with connect(app) as connection:
            question = {
                "wanted": [[message.name, places[message]] for message in asked],
                "whose": installation.current_id(),
            }
            answers: Any = mailbox(app, connection).multi_call(WHO_KNOWS, question, timeout=ANSWER_SECONDS)
    # A transport may raise any error. Without an answer no task counts as unknown.
    except Exception as error:
        publisher.breaker.trip()
        logger.warning("The broker did not take a question (%s).", type(error).__name__)
        return None
    # A worker that does not know the question answers with an error, which is no list.
    known = [found for answer in answers or () for found in answer.values() if isinstance(found, list)]
    return [asked[place] for place in sorted({place for found in known for place in found})]


def _queue_of(message: Message) -> str | None:
    """Return the name of the queue to which a message goes.

    Empty where its options name an exchange in place of a queue; ``None`` for a message that can't be routed.
    """
    try:
        return name_of(routing.route(message).get("queue"))
    except Unroutable:
        return None
