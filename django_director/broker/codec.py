"""Turns a message into the text of a row, and back."""

from __future__ import annotations

import base64
from typing import Any, Final

from kombu.utils import json

UNDECODABLE: Final = "undecodable"
"""The queue to which unreadable messages are moved."""


class Undecodable(ValueError):
    """The text of a row is no message."""


def encode(message: dict[str, Any]) -> str:
    """Return the text of a message. Raises ``TypeError`` for headers that can't be JSON."""
    return str(json.dumps(message))


def decode(text: str) -> dict[str, Any]:
    """Return the message of a text. Raises ``Undecodable`` if kombu can't make a message of it."""
    try:
        message = json.loads(text)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Undecodable(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise Undecodable("not a JSON object")
    properties = message.get("properties")
    if not isinstance(properties, dict) or not isinstance(properties.get("delivery_info"), dict):
        raise Undecodable("no delivery information")
    _check_body(message.get("body"), properties.get("body_encoding"))
    return message


def _check_body(body: object, encoding: object) -> None:
    if not isinstance(body, str):
        raise Undecodable("the body is not a text")
    if encoding != "base64":
        return
    try:
        base64.b64decode(body)
    except ValueError as error:
        raise Undecodable(f"the body is not base64: {error}") from error
