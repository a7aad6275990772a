"""What the form that starts a run tells of that run: its steps, who decides, its hooks, for what it waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_director import engine
from django_director.access.authorization import is_allowed
from django_director.definitions import (
    ApprovalStep,
    Container,
    MapStep,
    Step,
    TaskStep,
    WaitStep,
    WorkflowStep,
    hook_label,
)
from django_director.models import Workflow, WorkflowVersion
from django_director.models.users import User

from . import formatting, run_approvals

STEPS: Final = 20
"""How many steps are named."""
NAMED: Final = 6
"""How many tasks of the body of a map, and how many hooks of an outcome, are named."""
OUTCOMES: Final[dict[str, str | Promise]] = {
    "success": gettext_lazy("After a success"),
    "failure": gettext_lazy("After a failure"),
    "canceled": gettext_lazy("After a cancel"),
    "always": gettext_lazy("After each end"),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One step."""

    name: str
    depth: int
    """In how many groups and chains it stands."""
    what: str
    """What happens there, if it is no plain task."""


def context(
    workflow: Workflow, version: WorkflowVersion, user: User, preview: engine.StartPreview | None
) -> dict[str, Any]:
    """Return what the template needs. ``preview`` is that of the start with the entered payload, once it is valid.

    It takes two queries for a workflow with ``concurrency``, and those for the workflows that its steps start.
    """
    definition = version.graph.definition
    forecast = engine.foresee_start(version) if preview is None else preview.forecast
    steps = sum(not isinstance(step, Container) for step in definition.entries())
    return {
        "count": ngettext("%(n)s step", "%(n)s steps", steps) % {"n": formatting.number(steps)},
        "version": version.number,
        "lines": [_line(*found) for found in _walk(definition.tasks, STEPS)],
        "more": max(0, sum(1 for _step in definition.entries()) - STEPS),
        "approvals": run_approvals.find(workflow, version, user),
        "hooks": list(hooks(version)),
        "waits": _waits(version, forecast),
        "holders": _holders(workflow, user, forecast),
        "payload": None if preview is None else formatting.json_text(preview.payload, definition.schema),
    }


def _walk(steps: tuple[Step, ...], left: int, depth: int = 0) -> Iterator[tuple[Step, int]]:
    """Yield the first ``left`` entries in the order of the file, each with its depth."""
    for step in steps:
        if left <= 0:
            return
        yield step, depth
        inside = list(_walk(step.members, left - 1, depth + 1))
        yield from inside
        left -= 1 + len(inside)


def _line(step: Step, depth: int) -> Line:
    facts = [_kind(step)]
    if step.needs:
        facts.append(_("after %(names)s") % {"names": listed(list(step.needs))})
    if step.is_conditional:
        facts.append(_("under a condition"))
    return Line(name=formatting.name(step.id), depth=min(depth, 4), what=", ".join(filter(None, facts)))


def _kind(step: Step) -> str:
    """Return what happens at a step; empty for a plain task."""
    match step:
        case Container():
            return _("at the same time") if step.kind == "group" else _("one after the other")
        case MapStep():
            names = listed([task.id for task in step.body])
            text = _("once for each entry of a list")
            only = len(step.body) == 1 and step.body[0].id == step.id
            return text if only else _("%(text)s: %(names)s") % {"text": text, "names": names}
        case WorkflowStep():
            return _("runs the workflow %(name)s") % {"name": formatting.name(step.workflow)}
        case ApprovalStep():
            return _("waits for a decision")
        case WaitStep():
            if isinstance(step.seconds, int | float):
                return _("waits %(time)s") % {"time": formatting.seconds(step.seconds)}
            return _("waits until a time")
    return ""


def listed(names: list[str]) -> str:
    """Return the first of some names, and how many more there are."""
    shown = ", ".join(formatting.name(name) for name in names[:NAMED])
    more = len(names) - NAMED
    return _("%(names)s and %(n)s more") % {"names": shown, "n": more} if more > 0 else shown


def hooks(version: WorkflowVersion) -> Iterator[tuple[str | Promise, str]]:
    """Yield which hooks a version has after which outcome, in words."""
    chains = version.graph.definition.hooks
    for outcome, title in OUTCOMES.items():
        steps: tuple[TaskStep, ...] = chains.get(outcome, ())
        if steps:
            yield title, listed([hook_label(step.id) for step in steps])


def _waits(version: WorkflowVersion, forecast: engine.Forecast | None) -> str:
    """Return whether a run that starts now would wait for others; empty if nothing bounds how many run at once."""
    concurrency = version.graph.definition.concurrency
    if concurrency is None:
        return ""
    limit = concurrency.limit
    if forecast is None:
        text = ngettext(
            "At most %(n)s run at a time for each value that counts. “Check” tells whether this one waits.",
            "At most %(n)s runs at a time for each value that counts. “Check” tells whether this one waits.",
            limit,
        )
        return text % {"n": limit}
    if forecast.is_free:
        return _("A place is free (%(held)s of %(limit)s are taken): it starts at once.") % {
            "held": len(forecast.holders),
            "limit": limit,
        }
    match concurrency.on_conflict:
        case "skip":
            return _("As many runs as may work at a time do so now: it would be skipped.")
        case "cancel_running":
            return _("As many runs as may work at a time do so now: it would take their place, they are canceled.")
    ahead = len(forecast.waiting)
    text = ngettext(
        "As many runs as may work at a time do so now: it would wait, with %(n)s run before it.",
        "As many runs as may work at a time do so now: it would wait, with %(n)s runs before it.",
        ahead,
    )
    return text % {"n": ahead} if ahead else _("As many runs as may work at a time do so now: it would wait.")


def _holders(workflow: Workflow, user: User, forecast: engine.Forecast | None) -> list[tuple[Any, str]]:
    """Return the runs that hold the places, as far as the user may see runs of the workflow."""
    if forecast is None or forecast.is_free or not is_allowed(user, "view_run", workflow):
        return []
    return [(pk, formatting.short_id(pk)) for pk in forecast.holders[:NAMED]]
