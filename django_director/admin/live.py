"""Lets pages change by themselves: a script asks for the parts of a page, and is told if they are still the same.

An address that ends in ``live/`` answers with the part of the page that can change, in the same template as the
whole page, and with an ETag. The tag is made of a stamp of the rows that the page shows
(`presentation/stamps.py`). If the script has the parts of that stamp already, nothing is read and drawn, and the
answer is 304.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Final
from uuid import UUID

from django.http import HttpRequest, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.translation import get_language

from django_director import __version__

BARE: Final = "admin/django_director/live.html"
"""The template in place of ``admin/base_site.html``: only the part of the page that can change."""
ROWS_ASKED: Final = 50
"""So many rows of a list change by themselves: the address with their ids must not become too long."""


def is_asked(request: HttpRequest) -> bool:
    """Whether a script asks for the parts that can change, and not a person for the page."""
    match = request.resolver_match
    return match is not None and (match.url_name or "").endswith("_live")


def answer(request: HttpRequest, stamp: object, make: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Answer with what ``make`` returns, or with 304 if the script has the parts of this stamp already."""
    tag = _tag(request, stamp)
    known = request.headers.get("If-None-Match", "").removeprefix("W/")
    response = HttpResponseNotModified() if known == tag else make()
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def asked_rows(request: HttpRequest) -> list[UUID]:
    """Return the ids of the rows that a list shows: the script sends each as 22 characters."""
    found = []
    for text in request.GET.get("rows", "").split(".")[:ROWS_ASKED]:
        try:
            found.append(UUID(bytes=base64.urlsafe_b64decode(f"{text}==")))
        except (binascii.Error, ValueError):
            continue
    return found


def _tag(request: HttpRequest, stamp: object) -> str:
    # A page also depends on who sees it, in which language, and on the version of its templates.
    seen_by = (request.user.pk, get_language(), request.get_full_path(), __version__)
    return f'"{hashlib.sha256(repr((stamp, seen_by)).encode()).hexdigest()[:32]}"'
