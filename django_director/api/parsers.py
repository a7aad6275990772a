"""Reads the bodies of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, Final

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request

from django_director.common.json_values import parse
from django_director.conf import KIB, director

from .errors import Refused

ESCAPED: Final = 6
"""How many bytes one character may take in a body, written as ``\\u0041``."""


class StrictJSONParser(JSONParser):
    """Reads JSON, and refuses a key that stands twice in an object: nobody knows which of its values was meant.

    The check of a session reads the body before the view does, so the limits of a body stand here.
    """

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        context = parser_context or {}
        if "request" in context:
            refuse_large(context["request"])
        encoding = context.get("encoding", settings.DEFAULT_CHARSET)
        try:
            return parse(stream.read().decode(encoding))
        except (ValueError, LookupError) as error:
            raise ParseError(f"JSON parse error - {error}") from error
        except RecursionError as error:
            raise ParseError("the body is nested too deeply") from error


def refuse_large(request: Request) -> None:
    """Answer 413 to a body that is longer than any payload may be."""
    limit = director.MAX_PAYLOAD * ESCAPED + 64 * KIB
    if _length(request) > limit:
        raise Refused(status.HTTP_413_REQUEST_ENTITY_TOO_LARGE, f"the body is over {limit:,} bytes")


def _length(request: Request) -> int:
    text = request.META.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdigit()):
        raise ParseError("Content-Length is no number")
    # No real length has more digits, and Python refuses to read a number with thousands of digits.
    return int(text[:20])
