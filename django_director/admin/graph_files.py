"""The graph of a run or of a workflow as a file: a picture (SVG), or a text for Graphviz or Mermaid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import urlencode

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from django_director.drawing.faces import faces
from django_director.drawing.gallery import picture_of
from django_director.drawing.palette import style_sheet
from django_director.drawing.svg import render_alone
from django_director.drawing.text import dot, mermaid
from django_director.graph import Graph
from django_director.models import Run, WorkflowVersion

from . import formatting, unfolding
from .attachments import as_file

FORMS: Final = {"svg": "SVG", "dot": "DOT", "mermaid": "Mermaid"}
"""The labels of the forms, by their names in addresses."""
_ENDINGS: Final = {"svg": "svg", "dot": "dot", "mermaid": "mmd"}


def paths(page: str, key: str, view: Callable[..., HttpResponseBase]) -> list[URLPattern]:
    """Return the addresses of all forms: ``view`` is called with what ``key`` captures, and with the ``form``."""
    return [
        path(f"{key}/graph/{form}/", view, {"form": form}, name=f"django_director_{page}_graph_{form}")
        for form in FORMS
    ]


def links(page: str, pk: object, site: str, more: dict[str, str]) -> list[tuple[str, str]]:
    """Return the label and the address of each form."""
    query = urlencode({name: value for name, value in more.items() if value}, safe=",")
    return [
        (label, formatting.address(f"{page}_graph_{form}", pk, site=site) + (f"?{query}" if query else ""))
        for form, label in FORMS.items()
    ]


def of_run(run: Run, form: str, unfold: str | None) -> HttpResponseBase:
    """Answer with the graph of a run, in which each task has the colour of its status."""
    tasks = run.tasks.order_by().values_list("position", "status", "attempt", "is_hook", "map_index", "generation")
    rows: unfolding.Rows = []
    statuses: dict[int, str] = {}
    for position, status, attempt, is_hook, map_index, generation in tasks.iterator():
        if is_hook and generation != run.generation:
            continue
        rows.append((position, status, attempt))
        if map_index < 0:
            statuses[position] = status
    name = f"{run.pk}"
    if form == "svg":
        return _picture(run.version.graph, rows, unfold, name)
    return _text(run.version.graph, form, statuses, name)


def of_version(version: WorkflowVersion, form: str, unfold: str | None) -> HttpResponseBase:
    """Answer with the graph of a version of a workflow."""
    name = f"{version.graph.definition.name}-{version.number}"
    return _picture(version.graph, [], unfold, name) if form == "svg" else _text(version.graph, form, {}, name)


def _picture(graph: Graph, rows: unfolding.Rows, unfold: str | None, name: str) -> HttpResponseBase:
    picture = picture_of(graph, unfolding.choose_unfolded(graph, unfold, rows))
    title = _("Tasks of %(workflow)s") % {"workflow": formatting.name(graph.definition.name)}
    text = render_alone(picture, faces(picture, rows), title=title, summary=name, style=style_sheet())
    return as_file(HttpResponse(text, content_type="image/svg+xml; charset=utf-8"), f"{name}.svg")


def _text(graph: Graph, form: str, statuses: dict[int, str], name: str) -> HttpResponseBase:
    lines = (dot if form == "dot" else mermaid)(graph, statuses)
    response = StreamingHttpResponse(_with_ends(lines), content_type="text/plain; charset=utf-8")
    return as_file(response, f"{name}.{_ENDINGS[form]}")


def _with_ends(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"{line}\n"
