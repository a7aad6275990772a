"""Decides what a run tells of its parent or of its child runs to people who may not see these.

Who sees a run knows the names of the workflows that its file calls, and the ids of its child runs. Where the
project decides by a function of its own, a run tells nothing else of a child run, and of its parent only that it
has one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from django_director.conf import director
from django_director.exceptions import DirectorError, NotRoot
from django_director.models import Run, Task

from .answers import Answers

_COLON: Final = ": "


def told_above(sentence: str, why: str, *, instead: str = "") -> str:
    """Return what the row of a parent may say of a child run: ``sentence``, and ``why``, which the child run says.

    The parent's texts are stored, searched and passed on to hooks, for people of whom nobody knows yet which
    workflows they may see. So ``instead`` stands in place of ``why`` wherever some of them may not see the child.
    """
    return f"{sentence}{instead if director.AUTHORIZE else why}"


def cause_told_above(error: Exception) -> Exception | None:
    """Return the error that a traceback in the row of a parent may show as the cause of another, if any."""
    return None if director.AUTHORIZE else error


def told_below(reason: str) -> str:
    """Return what the row of a child run may say of why its parent was stopped.

    Behind the colon the engine names the run that has taken the parent's place.
    """
    return reason.partition(_COLON)[0] if director.AUTHORIZE else reason


def shown_parents(runs: Iterable[Run], answers: Answers) -> frozenset[UUID]:
    """Return those steps that have started ``runs`` of which a user may know. It takes one query at most.

    ``answers`` tell what the user may see. Only where the project decides by a function of its own is there a
    query: elsewhere who may see one run may see all.
    """
    steps = {run.parent_task_id for run in runs if run.parent_task_id is not None}
    if not director.AUTHORIZE or not steps:
        return frozenset(steps)
    found = Task.objects.filter(pk__in=steps).order_by().values_list("pk", "run__workflow")
    return frozenset(step for step, workflow in found if answers.may("view_run", workflow))


def refusal(error: DirectorError, answers: Answers) -> str:
    """Return the text of an error for a user: it names the root of a child run only if the user may see that."""
    if isinstance(error, NotRoot) and not answers.may("view_run", error.workflow):
        return error.plain
    return str(error)
