"""Pages of bounded size, each after a key: the cost of a page does not grow with the rows before it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from .errors import Refused

PARAMETERS: Final = ("cursor", "page_size")
PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 500


@dataclass(frozen=True, slots=True)
class Keyset:
    """Cuts a queryset into pages, in the order of ``fields``: unique together, descending with a leading ``-``."""

    fields: tuple[str, ...]

    def respond(
        self, request: Request, rows: QuerySet[Any], as_json: Callable[[Sequence[Any]], Iterable[dict[str, Any]]]
    ) -> Response:
        """Answer with ``{"next": the address of the next page or null, "results": […]}``.

        The parameter ``page_size`` says how many rows (1 to 500), ``cursor`` behind which row the page begins.
        """
        size = _page_size(request)
        found: list[Any] = []
        for part in self._parts_after(rows, request.query_params.get("cursor")):
            if len(found) <= size:
                found += part.order_by(*self.fields)[: size + 1 - len(found)]
        page = found[:size]
        following = None
        if len(found) > size:
            following = replace_query_param(request.build_absolute_uri(), "cursor", self._cursor(page[-1]))
        return Response({"next": following, "results": list(as_json(page))})

    @property
    def _names(self) -> list[str]:
        return [field.removeprefix("-") for field in self.fields]

    def _cursor(self, row: Model) -> str:
        text = json.dumps([str(getattr(row, name)) for name in self._names])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _parts_after(self, rows: QuerySet[Any], cursor: str | None) -> list[QuerySet[Any]]:
        """Return the rows behind a cursor in parts, each of which is one range of an index.

        With one condition for all parts a database would read the rows before the cursor again and again.
        """
        if cursor is None:
            return [rows]
        parts = []
        before: dict[str, Any] = {}
        for field, name, value in zip(self.fields, self._names, self._decode(rows, cursor), strict=True):
            operator = "lt" if field.startswith("-") else "gt"
            parts.append(rows.filter(**before, **{f"{name}__{operator}": value}))
            before[name] = value
        return parts[::-1]

    def _decode(self, rows: QuerySet[Any], cursor: str) -> list[Any]:
        try:
            texts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            # `zip` raises if the cursor comes from a list with other fields.
            pairs = list(zip(self._names, texts, strict=True))
            return [_parse_value(rows.model, name, text) for name, text in pairs]
        except (ValueError, TypeError, ValidationError, RecursionError) as error:
            raise Refused(400, "this cursor is none of ours: follow “next” from the first page") from error


def _parse_value(model: type[Model], name: str, text: object) -> object:
    if not isinstance(text, str):
        raise TypeError(text)
    field = model._meta.get_field(name)
    value = field.to_python(text)  # type: ignore[union-attr]  # keys are columns
    field.run_validators(value)  # type: ignore[union-attr]
    return value


def _page_size(request: Request) -> int:
    text = request.query_params.get("page_size", str(PAGE_SIZE))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_PAGE_SIZE):
        raise Refused(400, f"page_size must be a number from 1 to {MAX_PAGE_SIZE}, not “{text}”")
    return int(text)
