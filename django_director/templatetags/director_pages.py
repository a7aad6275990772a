"""The template tags of the admin's pages."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from django_director.admin import formatting, overview, system_page
from django_director.exceptions import DirectorError

register = template.Library()


@register.simple_tag(takes_context=True)
def director_overview(context: template.Context) -> SafeString:
    """Return the overview for the user of the request; an empty text for a user who may see no runs."""
    request: Any = context.get("request")
    shown = None if request is None else overview.for_request(request, request.current_app)
    return render_to_string("admin/django_director/_overview.html", shown, request) if shown else SafeString("")


@register.inclusion_tag("admin/django_director/_banner.html", takes_context=True)
def director_banner(context: template.Context) -> dict[str, Any]:
    """Return what is wrong with the workflow files, for a user who may see them."""
    request: Any = context.get("request")
    try:
        return {"texts": system_page.banner(request.user) if request is not None else ()}
    except DirectorError:
        # The page itself explains settings that can't be used.
        return {"texts": ()}


@register.simple_tag
def director_filters(cl: Any) -> list[dict[str, Any]]:
    """Return the filters of a list: the title of each, its choices, and which one is chosen."""
    found = []
    for spec in cl.filter_specs:
        choices = list(spec.choices(cl))
        chosen = next((number for number, choice in enumerate(choices) if choice["selected"]), 0)
        name = choices[chosen]["display"] if choices else ""
        found.append({"title": spec.title, "choices": choices, "chosen": name, "is_set": chosen > 0})
    return found


@register.filter
def readable(value: object) -> str:
    """Return a text of a user or of code without characters that change how the rest is shown."""
    return formatting.readable(str(value))
