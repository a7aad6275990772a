"""How bodies are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from django_director.common.json_values import parse


class StrictJSONParser(JSONParser):
    """JSON in which no key stands twice: of two values for one key nobody knows which was meant."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        encoding = (parser_context or {}).get("encoding", settings.DEFAULT_CHARSET)
        try:
            return parse(stream.read().decode(encoding))
        except (ValueError, LookupError) as error:
            raise ParseError(f"JSON parse error - {error}") from error
