"""Reads the runs that were relaunched from other runs.

They are of the same workflow: who may see a run may see those that were relaunched from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django_director.models import Run

SHOWN: Final = 3
"""How many runs are named where all that was relaunched from a run is summed up."""


def of_run(run: Run, number: int) -> list[Run]:
    """Return the newest runs that were relaunched from ``run``, at most ``number``, in one query."""
    columns = ("status", "stop", "paused_at", "finished_at", "created_at", "user_name", "relaunched_from")
    return list(run.relaunches.order_by("-pk").only(*columns)[:number])


def newest(run: Run) -> tuple[list[Run], bool]:
    """Return the newest ``SHOWN`` runs that were relaunched from ``run``, and whether there are more.

    It takes one query, and none for a run that has not ended yet, now or before a retry: pages offer the relaunch
    of ended runs only.
    """
    found = of_run(run, SHOWN + 1) if run.is_finished or run.generation else []
    return found[:SHOWN], len(found) > SHOWN


def stamp(run: Run) -> Any:
    """Return a value that changes with what ``newest`` returns, and with the statuses of these runs."""
    found, has_more = newest(run)
    return [(new.pk, new.shown_status) for new in found], has_more


def count_relaunched(runs: Sequence[Run]) -> int:
    """Return how many of ``runs`` were relaunched, in one query."""
    relaunched = Run.objects.filter(relaunched_from__in=[run.pk for run in runs]).order_by()
    return int(relaunched.values("relaunched_from").distinct().count())
