"""Turns errors into answers: ``{"detail": …}``, for several also ``errors``, a list of ``{path, message}``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.db import DataError, InterfaceError, OperationalError
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from django_director import exceptions
from django_director.access.answers import Answers
from django_director.access.families import refusal
from django_director.db.errors import is_of_data

#: The status for each class of errors. Special classes stand before general ones: the first that fits decides.
STATUS: Final[tuple[tuple[type[exceptions.DirectorError], int], ...]] = (
    (exceptions.UnknownWorkflow, status.HTTP_404_NOT_FOUND),
    (exceptions.UnknownRun, status.HTTP_404_NOT_FOUND),
    (exceptions.UnknownTask, status.HTTP_404_NOT_FOUND),
    (exceptions.NotAllowed, status.HTTP_403_FORBIDDEN),
    (exceptions.Conflict, status.HTTP_409_CONFLICT),
    (exceptions.InvalidSettings, status.HTTP_503_SERVICE_UNAVAILABLE),
    (exceptions.DirectorError, status.HTTP_400_BAD_REQUEST),
)


class Refused(APIException):
    """An answer with a status and a JSON body of its own."""

    def __init__(self, status_code: int, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        self.status_code = status_code
        body: dict[str, Any] = {"detail": detail}
        super().__init__(body if errors is None else body | {"errors": errors})


def translate(error: Exception, request: Request) -> Exception:
    """Return the answer to an error of django-director or of the database; return any other error unchanged."""
    if isinstance(error, exceptions.InvalidPayload):
        return Refused(status.HTTP_400_BAD_REQUEST, "invalid payload", error.errors)
    if isinstance(error, exceptions.DirectorError):
        code = next(code for kind, code in STATUS if isinstance(error, kind))
        return Refused(code, refusal(error, Answers(request.user)))
    if isinstance(error, OperationalError | DataError) and is_of_data(error):
        return Refused(status.HTTP_400_BAD_REQUEST, "the database can't store this: characters or a size it lacks")
    if isinstance(error, OperationalError | InterfaceError):
        return Refused(status.HTTP_503_SERVICE_UNAVAILABLE, "the database does not answer; try again later")
    return error


def invalid(detail: str, errors: object) -> Refused:
    """Return a 400 answer that lists the ``errors`` of a serializer."""
    return Refused(status.HTTP_400_BAD_REQUEST, detail, list(_flat(errors, "")))


def _flat(errors: object, path: str) -> Iterator[dict[str, Any]]:
    if isinstance(errors, dict):
        for key, value in errors.items():
            inner = path if key == "non_field_errors" else f"{path}.{key}".lstrip(".")
            yield from _flat(value, inner)
    elif isinstance(errors, list):
        for value in errors:
            yield from _flat(value, path)
    else:
        yield {"path": path, "message": str(errors)}
