"""What all views share: who may enter, how bodies are read, how errors are answered."""

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

from django_director import __version__
from django_director.access.authorization import is_allowed, require
from django_director.common.suggestions import question
from django_director.conf import KIB, director
from django_director.engine.arguments import KEY_RULE, is_key
from django_director.exceptions import UnknownRun
from django_director.models import Workflow
from django_director.models.users import User
from django_director.presentation import health

from .errors import Refused, invalid, translate
from .parsers import StrictJSONParser
from .serializers import NoOptions, StatusesField
from .throttling import DirectorThrottle

_S = TypeVar("_S", bound="Serializer[Any]")

VIA: Final = "API"
"""What Django's history of an object says of the way."""
KEY_HEADER = "Idempotency-Key"
ESCAPED = 6
"""How many bytes one character may take in a body: ``\\u0041``."""
MAX_NAMED = 20
"""How many unknown keys of a body an answer names."""
MAX_SHOWN = 100
"""How many characters of each."""


class DirectorView(APIView):
    """Signed-in users only, by the authentication that the project sets."""

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
            # Who sends it counts on it: a second call would act a second time.
            raise invalid("invalid request", {KEY_HEADER: "this request takes no idempotency key"})

    def handle_exception(self, exc: Exception) -> Response:
        return super().handle_exception(translate(exc))

    def get_throttles(self) -> list[BaseThrottle]:
        others = [kind() for kind in self.throttle_classes if not issubclass(kind, ScopedRateThrottle)]
        return [*others, DirectorThrottle()]


class Ping(DirectorView):
    """``GET ping/``: the web server answers."""

    def get(self, request: Request) -> Response:
        return Response({"message": "pong", "version": __version__})


class Health(DirectorView):
    """``GET health/``: whether database, broker and supervisor work; 503 when one does not."""

    def get(self, request: Request) -> Response:
        require(request.user, "view_run")
        query(request, NoOptions)
        # Where the project hides workflows, it hides their names.
        found = health.read_health(with_names=not director.AUTHORIZE)
        return Response(found, status.HTTP_200_OK if found["healthy"] else status.HTTP_503_SERVICE_UNAVAILABLE)


class NoRoute(DirectorView):
    """Anything else below the API: a 404 in JSON, whatever the method."""

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound(f"there is no route {request.path}")


def idempotency_key(request: Request) -> str | None:
    """The header's value. Answers 400 for what is no key."""
    key = request.headers.get(KEY_HEADER)
    if key is not None and not is_key(key):
        raise invalid("invalid request", {KEY_HEADER: [KEY_RULE]})
    return key


def _check_length(request: Request) -> None:
    """Answer 411 to a body without a length where the server hands none over: WSGI has no end of a stream.

    Django reads nothing then, and a run would start with an empty payload.
    """
    meta = request.META
    if "wsgi.input" in meta and meta.get("HTTP_TRANSFER_ENCODING") and not meta.get("CONTENT_LENGTH"):
        text = "a body in chunks can't be read here: send its Content-Length"
        raise Refused(status.HTTP_411_LENGTH_REQUIRED, text)


def _length(request: Request) -> int:
    text = request.META.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdigit()):
        raise ParseError("Content-Length is no number")
    # As many digits as any real length; Python refuses to read thousands.
    return int(text[:20])


def body(request: Request, kind: type[_S]) -> dict[str, Any]:
    """The request's body as a serializer reads it. Answers 400 and 413 for what it can't be.

    A key it does not know is a 400 too: a run would otherwise start with defaults in place of what was meant.
    """
    limit = director.MAX_PAYLOAD * ESCAPED + 64 * KIB
    if _length(request) > limit:
        raise Refused(status.HTTP_413_REQUEST_ENTITY_TOO_LARGE, f"the body is over {limit:,} bytes")
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
    # Django's own field in every form.
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
    """The query parameters as a serializer reads them. Answers 400 also for a name it does not know.

    A filter with a typing error would otherwise give everything, and of one given twice only the last would count.
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
    """The user for a run's row: ``None`` for one who is no row, as with some token authentications."""
    return request.user if isinstance(request.user, get_user_model()) else None


def require_any(request: Request, action: str) -> None:
    """Refuse who may do ``action`` with no workflow, before anything is looked up: a 404 tells what there is.

    Not where the project decides itself: its rules may know single workflows only.
    """
    if not director.AUTHORIZE:
        require(request.user, action)


def sees_payload(request: Request, workflow: Workflow) -> bool:
    return is_allowed(request.user, "view_payload", workflow)


def as_uuid(text: str, what: str) -> UUID:
    """Parse an id from a route. Answers 404 for what is none: nothing is there."""
    try:
        return UUID(text)
    except ValueError as error:
        raise UnknownRun(f"“{text}” is not the id of a {what}") from error
