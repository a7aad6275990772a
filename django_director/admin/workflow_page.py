"""The page of a workflow: its verdict, its graph, its schedules, its last runs, its source and its versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import unified_diff
from itertools import islice
from typing import Any, Final

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.masking.source import mask_source
from django_director.models import Run, Workflow, WorkflowVersion
from django_director.presentation import reliability, weak_steps
from django_director.schedules import descriptions

from . import formatting, graph_view, grid, schedule_pages

RUNS_SHOWN: Final = 20
NEXT_TIMES: Final = 5
"""How many times a page names at which a schedule is due next."""
DIFF_LINES: Final = 2_000
STATISTICS: Final = 100
"""From how many last runs it is worked out how reliable a workflow is."""
VERSIONS_SHOWN: Final = 20


def context(
    request: HttpRequest, workflow: Workflow, version: WorkflowVersion | None, site: str, *, sees_runs: bool
) -> dict[str, Any]:
    """Return what the template needs to show a version of a workflow."""
    return {
        "title": formatting.name(workflow.name),
        "subtitle": _("Workflow"),
        "workflow": workflow,
        "version": version,
        "description": version.graph.definition.description if version else "",
        **(graph_view.of_version(request, version, site) if version else {}),
        "source": formatting.limited(_source(version)) if version else None,
        **_changes(request, workflow, version),
        "updated": formatting.moment(workflow.updated_at),
        "schedules": _schedules(workflow),
        "sees_runs": sees_runs,
        **_of_runs(workflow, version, site, sees_runs=sees_runs),
    }


def _of_runs(workflow: Workflow, version: WorkflowVersion | None, site: str, *, sees_runs: bool) -> dict[str, Any]:
    """Return what comes from the last runs, for a user who may see them, and the versions."""
    runs = list(workflow.runs.for_listing().order_by("-pk")[:STATISTICS]) if sees_runs else []
    return {
        "versions": _versions(workflow, runs),
        "rated_runs": STATISTICS,
        **(_last_runs(runs, version, site) if sees_runs else {}),
    }


def chosen_version(request: HttpRequest, workflow: Workflow) -> WorkflowVersion | None:
    """Return the version that ``?version=`` names, or else the current one."""
    number = request.GET.get("version", "")
    if number.isdecimal() and len(number) < 10:
        chosen = workflow.versions.filter(number=int(number)).first()
        if chosen is not None:
            return chosen
    return workflow.current_version


def _last_runs(runs: Sequence[Run], version: WorkflowVersion | None, site: str) -> dict[str, Any]:
    found = reliability.of_runs(runs)
    return {
        "runs": [_row(run) for run in runs[:RUNS_SHOWN]],
        "grid": grid.draw(version.graph, runs, site) if version else "",
        "grid_is_cut": version is not None and len(version.graph.nodes) > grid.STEPS,
        "found": found,
        "weak": _weak_steps(runs, version) if version else None,
        "verdict": _verdict(found),
        "usual": formatting.seconds(found.usual_seconds),
        "slow": formatting.seconds(found.slow_seconds),
        "last_success": formatting.when(found.last_success),
        "failing_since": formatting.when(found.failing_since),
        "zone": formatting.zone() if found.last_success else "",
    }


def _changes(request: HttpRequest, workflow: Workflow, version: WorkflowVersion | None) -> dict[str, Any]:
    """Return how the source of ``version`` differs from that of the version that ``?against=`` names."""
    number = request.GET.get("against", "")
    if version is None or not number.isdecimal() or len(number) >= 10:
        return {}
    other = workflow.versions.filter(number=int(number)).first()
    if other is None:
        return {}
    before, after = (_source(each).splitlines() for each in (other, version))
    names = [_("version %(number)s") % {"number": each.number} for each in (other, version)]
    lines = islice(unified_diff(before, after, names[0], names[1], lineterm=""), DIFF_LINES)
    shown = formatting.limited("\n".join(lines) or _("The sources are the same."))
    return {"changes": shown, "changed_lines": list(_marked(shown.text)), "against": other.number}


def _marked(difference: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of a unified diff, each with the HTML element that tells what became of it."""
    for number, line in enumerate(difference.splitlines()):
        # The first two lines name the versions.
        yield "span" if number < 2 else {"+": "ins", "-": "del"}.get(line[:1], "span"), line


def _source(version: WorkflowVersion) -> str:
    return mask_source(version.source, version.graph.definition.schema)


def _versions(workflow: Workflow, runs: Sequence[Run]) -> list[tuple[WorkflowVersion, str, str]]:
    """Return the last versions, each with when it was stored and how many of ``runs`` succeeded with it."""
    by_version: dict[int, list[Run]] = {}
    for run in runs:
        by_version.setdefault(run.version_id, []).append(run)
    versions = workflow.versions.defer("definition", "source").order_by("-number")[:VERSIONS_SHOWN]
    return [
        (version, formatting.moment(version.created_at), _share(by_version.get(version.pk, ())))
        for version in versions
    ]


def _share(runs: Sequence[Run]) -> str:
    found = reliability.of_runs(runs)
    if found.rate is None:
        return formatting.NOTHING
    text = ngettext("%(rate)s %% of %(n)s run", "%(rate)s %% of %(n)s runs", found.finished)
    return text % {"rate": found.rate, "n": found.finished}


def _weak_steps(runs: Sequence[Run], version: WorkflowVersion) -> dict[str, Any]:
    found = weak_steps.find(runs, len(version.graph.nodes))
    return {
        "runs": found.runs,
        "slowest": [(formatting.name(each.step), formatting.seconds(each.seconds)) for each in found.slowest],
        "flakiest": [(formatting.name(each.step), _trouble(each)) for each in found.flakiest],
    }


def _trouble(step: weak_steps.StepRecord) -> str:
    """Return in how many runs a step has failed, and in how many it was tried again and succeeded."""
    parts = []
    if step.failed:
        text = ngettext("failed in %(n)s run", "failed in %(n)s runs", step.failed)
        parts.append(text % {"n": step.failed})
    if step.retried:
        text = ngettext(
            "succeeded after a retry in %(n)s run", "succeeded after a retry in %(n)s runs", step.retried
        )
        parts.append(text % {"n": step.retried})
    return ", ".join(parts)


def _schedules(workflow: Workflow) -> list[dict[str, Any]]:
    return [
        {
            **timing,
            "text": formatting.timing({**timing, "enabled": True}),
            "obstacle": formatting.sentence(timing["obstacle"].advice) if timing["obstacle"] else "",
            "switch_label": schedule_pages.switch_label(timing),
            "next_times": [formatting.in_zones(due, timing["timezone"]) for due in timing["next_times"]],
        }
        for timing in descriptions.describe_for_pages([workflow], NEXT_TIMES)[workflow.pk]
    ]


def _row(run: Run) -> tuple[Run, str, SafeString, str, str]:
    return (
        run,
        formatting.short_id(run.pk),
        formatting.badge(run.shown_status),
        formatting.moment(run.started_at),
        formatting.elapsed(run),
    )


def _verdict(found: reliability.Reliability) -> tuple[str, str]:
    """Return the status and the sentence with which the page of a workflow begins."""
    if not found.finished:
        return "none", _("It has not ended a run yet.")
    if found.failing:
        text = ngettext("The last run has failed.", "The last %(n)s runs have failed.", found.failing)
        return "failed", text % {"n": found.failing}
    text = _("The last run succeeded; of the last %(n)s, %(rate)s %% did so without a retry.")
    return "success", text % {"n": found.finished, "rate": found.rate}
