"""The template tags of the admin's pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_director.admin import formatting, overview, system_page
from django_director.admin.filters import TypedFilter
from django_director.common import texts
from django_director.exceptions import DirectorError

CHOICE_SHOWN: Final = 60

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
    """Return the filters of a list: the title of each, its choices, which one is chosen, and what can be typed."""
    return [_filter(cl, spec) for spec in cl.filter_specs]


def _filter(cl: Any, spec: Any) -> dict[str, Any]:
    choices = [
        {**choice, "text": formatting.shortened_line(formatting.readable(str(choice["display"])), CHOICE_SHOWN)}
        for choice in spec.choices(cl)
    ]
    chosen = next((choice for choice in choices if choice["selected"]), None)
    fields = spec.fields() if isinstance(spec, TypedFilter) else []
    name = spec.shown_value() if isinstance(spec, TypedFilter) and chosen is None else ""
    is_switch = getattr(spec, "is_switch", False)
    return {
        "title": spec.title,
        "choices": choices,
        "chosen": formatting.readable(name or str(chosen["display"] if chosen else "")),
        "is_set": bool(name) or chosen not in (None, *choices[:1]),
        "fields": fields,
        "others": _others(cl, spec) if fields else [],
        # Such a filter is on or off: its chip leads to the other state.
        "switch": next((choice for choice in choices if not choice["selected"]), None) if is_switch else None,
    }


def _others(cl: Any, spec: Any) -> list[tuple[str, str]]:
    """Return the parameters of the list's address but those of one filter."""
    own = spec.expected_parameters()
    return [(name, value) for name, values in cl.filter_params.items() if name not in own for value in values]


@register.filter
def readable(value: object) -> str:
    """Return a text of a user or of code without characters that change how the rest is shown."""
    return texts.readable(str(value))


@register.filter
def when(value: datetime | None) -> SafeString | str:
    """Return how far a time is from now, and the time of day."""
    return formatting.when(value)


@register.simple_tag
def director_zone() -> str:
    """Return the sentence that names the time zone of a page."""
    return _("Times are in the time zone %(zone)s.") % {"zone": formatting.zone()}
