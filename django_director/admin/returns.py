"""Where a user goes after an operation: back to the page from which it was begun."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

FIELD = "next"


def address(request: HttpRequest, otherwise: str) -> str:
    """Return the address that the form or the query string names, or ``otherwise``; none of another site."""
    asked = str(request.POST.get(FIELD) or request.GET.get(FIELD) or "")
    hosts = {request.get_host()}
    is_safe = url_has_allowed_host_and_scheme(asked, allowed_hosts=hosts, require_https=request.is_secure())
    return asked if is_safe else otherwise
