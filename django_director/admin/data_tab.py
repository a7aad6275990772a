"""The payload and the result of a run: on its page as far as they are short, and as files."""

from __future__ import annotations

import json
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpResponse
from django.utils.translation import gettext as _

from django_director.graph import expand
from django_director.masking.values import mask
from django_director.models import Run
from django_director.status import RunStatus

from . import formatting
from .attachments import as_file

RESULT_PARTS: Final = 200
"""A result that is made of the results of more tasks is not read for a page."""


def context(run: Run) -> dict[str, Any]:
    """Return what the template needs."""
    return {
        "payload": formatting.json_text(run.payload, run.version.graph.definition.schema),
        "result": _result(run),
    }


def payload_file(run: Run) -> HttpResponse:
    """Answer with the payload as a file, with secrets masked."""
    return _file(mask(run.payload, run.version.graph.definition.schema), f"{run.pk}-payload.json")


def result_file(run: Run) -> HttpResponse:
    """Answer with the result as a file, with secrets masked; with the reason in words if there is none."""
    error = "" if run.status == RunStatus.SUCCESS else _("The run has no result: it has not succeeded.")
    value = None
    if not error:
        value, error = run.read_result()
    if error:
        return HttpResponse(formatting.readable(error), status=409, content_type="text/plain; charset=utf-8")
    return _file(mask(value), f"{run.pk}-result.json")


def _file(value: object, name: str) -> HttpResponse:
    text = json.dumps(value, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False)
    return as_file(HttpResponse(text, content_type="application/json; charset=utf-8"), name)


def _result(run: Run) -> formatting.Text:
    if run.status != RunStatus.SUCCESS:
        return formatting.Text("", "")
    graph = run.version.graph
    spans = graph.result.spans()
    parts = sum(stop - start for start, stop in spans)
    if made := graph.last_in(expand(spans)):
        parts += run.tasks.at_items(made).count()
    if parts > RESULT_PARTS:
        text = _("The result is the list of the results of %(parts)s tasks.")
        return formatting.Text("", text % {"parts": formatting.number(parts)})
    value, error = run.read_result()
    return formatting.Text("", error) if error else formatting.json_text(value)
