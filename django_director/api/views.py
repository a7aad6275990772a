"""What all views of the API share: who may call them, how they read requests, how they answer errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import RequestDataTooBig
from django.http import QueryDict
from rest_framework import status
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle, ScopedRateThrottle
from rest_framework.views import APIView

from django_director.access.authorization import is_allowed, require
from django_director.common.suggestions import question
from django_director.conf import director
from django_director.engine.arguments import KEY_RULE, is_key
from django_director.exceptions import UnknownRun
from django_director.models import Workflow
from django_director.models.users import User

from .errors import Refused, invalid, translate
from .parsers import StrictJSONParser, refuse_large
from .serializers import StatusesField
from .throttling import DirectorThrottle

_S = TypeVar("_S", bound="Serializer[Any]")

VIA: Final = "API"
"""How a change was made, in the words of Django's history of an object."""
KEY_HEADER = "Idempotency-Key"
MAX_NAMED = 20
"""How many unknown keys of a body an answer names."""
MAX_SHOWN = 100
"""How many characters of an unknown key an answer shows."""


class DirectorView(APIView):
    """Admits only signed-in users; the project's settings say how they authenticate."""

    permission_classes = [IsAuthenticated]
    parser_classes = [StrictJSONParser, FormParser, MultiPartParser]
    versioning_class = None
    throttle_scope = "director"
    takes_key = False
    """Whether a POST takes the header ``Idempotency-Key``."""

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        _check_length(request)
        if request.method == "POST" and KEY_HEADER in request.headers and not self.takes_key:
            # A client that sends a key relies on it: without it a second call would act a second time.
            raise invalid("invalid request", {KEY_HEADER: "this request takes no idempotency key"})

    def handle_exception(self, exc: Exception) -> Response:
        return super().handle_exception(translate(exc, self.request))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        found: Response = super().finalize_response(request, response, *args, **kwargs)
        # Payloads and results are no matter of a proxy or of a browser's disk.
        found.headers.setdefault("Cache-Control", "private, no-store")
        return found

    def get_throttles(self) -> list[BaseThrottle]:
        others = [kind() for kind in self.throttle_classes if not issubclass(kind, ScopedRateThrottle)]
        return [*others, DirectorThrottle()]


class NoRoute(DirectorView):
    """Answers 404 in JSON to each other address below the API, whatever the method."""

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound(f"there is no route {request.path}")


def idempotency_key(request: Request) -> str | None:
    """Return the idempotency key in the request's header, if any. Answers 400 to a text that can't be a key."""
    key = request.headers.get(KEY_HEADER)
    if key is not None and not is_key(key):
        raise invalid("invalid request", {KEY_HEADER: [KEY_RULE]})
    return key


def _check_length(request: Request) -> None:
    """Answer 411 to a body whose length is not known under WSGI, which does not tell where a stream ends.

    Django would read nothing of such a body, and a run would start with an empty payload.
    """
    meta = request.META
    if "wsgi.input" in meta and meta.get("HTTP_TRANSFER_ENCODING") and not meta.get("CONTENT_LENGTH"):
        text = "a body in chunks can't be read here: send its Content-Length"
        raise Refused(status.HTTP_411_LENGTH_REQUIRED, text)


def body(request: Request, kind: type[_S]) -> dict[str, Any]:
    """Return the request's body as the serializer ``kind`` reads it. Answers 400 or 413 to a body that it refuses.

    It refuses unknown keys too: a run would otherwise start with a default in place of what the client meant.
    """
    refuse_large(request)
    try:
        serializer = kind(data=request.data)
        errors = _unknown_keys(request.data, sorted(serializer.fields))
        if not serializer.is_valid() or errors:
            raise invalid("invalid request", errors | dict(serializer.errors))
    except RecursionError as error:
        raise ParseError("the body is nested too deeply") from error
    except RequestDataTooBig as error:
        text = "the body is larger than the project's DATA_UPLOAD_MAX_MEMORY_SIZE"
        raise Refused(status.HTTP_413_REQUEST_ENTITY_TOO_LARGE, text) from error
    data: dict[str, Any] = serializer.validated_data
    return data


def _unknown_keys(data: object, known: list[str]) -> dict[str, str]:
    if not isinstance(data, Mapping):
        return {}
    if isinstance(data, QueryDict) and (twice := [key for key, given in data.lists() if len(given) > 1]):
        return {
            _printable(key): f"given {len(data.getlist(key))} times; give it once" for key in twice[:MAX_NAMED]
        }
    # Django puts this field into each form.
    ignored = {"csrfmiddlewaretoken"} if isinstance(data, QueryDict) else set()
    unknown = (key for key in data if key not in known and key not in ignored)
    return {_printable(key): _unknown_key(key, known) for key in islice(unknown, MAX_NAMED)}


def _unknown_key(key: str, known: list[str]) -> str:
    if key.lower().replace("-", "_") == "idempotency_key":
        return "unknown key; send the header Idempotency-Key"
    hint = question(key, known)
    text = "unknown key" + (f" ({hint})" if hint else "")
    text += "; known are " + ", ".join(known) if known else "; this request takes none"
    return text + ("; what the workflow is given stands inside payload" if "payload" in known else "")


def _printable(key: str) -> str:
    # JSON may hold half of a surrogate pair, which no answer can.
    return key[:MAX_SHOWN].encode(errors="replace").decode()


def query(request: Request, kind: type[_S], others: Iterable[str] = ()) -> dict[str, Any]:
    """Return the query parameters as the serializer ``kind`` reads them. Answers 400 also to an unknown name.

    A filter with a typing error would otherwise let all rows through, and of a filter given twice only the last
    value would count.
    """
    given = request.query_params
    known = {*kind().fields, *others, api_settings.URL_FORMAT_OVERRIDE}
    errors = {name: _unknown_parameter(name, known) for name in given if name not in known}
    serializer = kind(data=given, context={"request": request})
    serializer.is_valid()
    errors |= dict(serializer.errors)
    errors |= {name: _repeated(name, values, kind) for name, values in given.lists() if len(values) > 1}
    if errors:
        raise invalid("invalid query", errors)
    data: dict[str, Any] = serializer.validated_data
    return data


def _repeated(name: str, values: list[str], kind: type[Serializer[Any]]) -> str:
    text = f"given {len(values)} times; give it once"
    takes_several = isinstance(kind().fields.get(name), StatusesField)
    return f"{text}, as {name}={','.join(values)}" if takes_several else text


def _unknown_parameter(name: str, known: Iterable[str | None]) -> str:
    names = sorted(filter(None, known))
    return "unknown parameter; " + (question(name, names) or "known are " + ", ".join(names))


def actor(request: Request) -> User:
    """Return the user to store with a run: ``None`` for one without a row, as some token authentications have."""
    return request.user if isinstance(request.user, get_user_model()) else None


def require_any(request: Request, action: str) -> None:
    """Raise ``NotAllowed`` if the user may do ``action`` with no workflow. Call this before any row is looked up.

    A 404 would otherwise tell such a user which rows exist. Nothing is checked if the project decides by rules of
    its own: these may know single workflows only.
    """
    if not director.AUTHORIZE:
        require(request.user, action)


def sees_payload(request: Request, workflow: Workflow) -> bool:
    """Whether the user may see payloads and results of a workflow's runs."""
    return is_allowed(request.user, "view_payload", workflow)


def as_uuid(text: str, what: str) -> UUID:
    """Return the id in a route. Raises ``UnknownRun``, which is a 404, for a text that is no id."""
    try:
        return UUID(text)
    except ValueError as error:
        raise UnknownRun(f"“{text}” is not the id of a {what}") from error
