"""The graph on the pages of runs and workflows: which frames of it are open, and where its boxes lead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.drawing.faces import faces
from django_director.drawing.gallery import picture_of
from django_director.drawing.parts import Part
from django_director.drawing.picture import Picture
from django_director.drawing.svg import Link, render
from django_director.models import WorkflowVersion

from . import formatting, graph_files
from .run_state import RunState
from .unfolding import choose_unfolded, written


def of_run(request: HttpRequest, state: RunState) -> dict[str, Any]:
    """Return what the template of the graph needs for a run, in which each box is a link."""
    finished, total = state.progress
    steps, bodies = len(state.run.version.graph.nodes), len(state.run.version.graph.bodies)
    begun = {position for position, _status, _attempt in state.drawn}

    def link(part: Part) -> str | None:
        if part.is_frame:
            return unfold(part)
        if part.positions[0] < steps + bodies:
            return state.links.of_step(part)
        return state.links.of_hook(part) if part.positions[0] in begun else None

    unfold, fold = _folding(request, state.picture, state.unfolded)
    summary = _("%(finished)s of %(total)s tasks are finished; the steps below say the same in words.")
    picture = render(
        state.picture,
        state.faces,
        title=_("Tasks of %(workflow)s") % {"workflow": formatting.name(state.run.workflow.name)},
        summary=summary % {"finished": finished, "total": total},
        link=link,
        fold=fold,
    )
    files = graph_files.links("run", state.run.pk, state.links.site, {"unfold": written(state.unfolded)})
    return {"graph": picture, "graph_is_folded": state.picture.is_folded, "graph_files": files}


def of_version(request: HttpRequest, version: WorkflowVersion, site: str) -> dict[str, Any]:
    """Return what the template of the graph needs for a version of a workflow."""
    graph = version.graph
    unfolded = choose_unfolded(graph, request.GET.get("unfold"), [])
    picture = picture_of(graph, unfolded)
    unfold, fold = _folding(request, picture, unfolded)
    total = len(graph.nodes)
    summary = ngettext(
        "%(total)s task; the source below says the same in words.",
        "%(total)s tasks; the source below says the same in words.",
        total,
    )
    drawing = render(
        picture,
        faces(picture, ()),
        title=_("Tasks of %(workflow)s") % {"workflow": formatting.name(graph.definition.name)},
        summary=summary % {"total": total},
        link=lambda part: unfold(part) if part.is_frame else None,
        fold=fold,
    )
    more = {"unfold": written(unfolded), "version": str(version.number)}
    files = graph_files.links("workflow", version.workflow_id, site, more)
    return {"graph": drawing, "graph_is_folded": picture.is_folded, "graph_files": files}


def _folding(request: HttpRequest, picture: Picture, unfolded: Sequence[int]) -> tuple[Link, Link]:
    """Return the functions that give the address at which a folded frame is open, and an open one is folded."""

    def address(numbers: Iterable[int]) -> str:
        query = request.GET.copy()
        query["unfold"] = written(numbers)
        return f"?{query.urlencode(safe=',')}#graph"

    def unfold(part: Part) -> str:
        return address(sorted({*unfolded, part.number}))

    def fold(part: Part) -> str | None:
        inside = {each.number for each in _frames_in(part)}
        is_chosen = part.number in unfolded and part.number in picture.is_open
        return address(number for number in unfolded if number not in inside) if is_chosen else None

    return unfold, fold


def _frames_in(part: Part) -> Iterable[Part]:
    yield part
    for each in part.parts:
        if each.is_frame:
            yield from _frames_in(each)
