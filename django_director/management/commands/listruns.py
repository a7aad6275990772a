from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from uuid import UUID

from django_director.engine.supervisor import unsendable_tasks
from django_director.management.base import DirectorCommand, add_json_argument
from django_director.management.display import show_runs
from django_director.models import Run
from django_director.presentation import open_approvals, served_queues
from django_director.presentation.lookups import SHOWN_STATUSES, filter_by_status, find_run, find_workflow
from django_director.presentation.serializers import Json, runs_as_json
from django_director.status import RunStatus, TaskStatus

LIMIT = 20


class Command(DirectorCommand):
    help = "List the last runs: those that no run has started, all of one workflow, or the child runs of a run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help="the workflow")
        parser.add_argument("--status", action="append", choices=SHOWN_STATUSES, help="may be given repeatedly")
        parser.add_argument("--limit", type=_positive, default=LIMIT, metavar="N", help=f"default {LIMIT}")
        parser.add_argument("--parent", metavar="RUN", help="the child runs of this run")
        add_json_argument(parser)

    def run_command(
        self,
        *,
        name: str | None,
        status: list[str] | None,
        limit: int,
        parent: str | None,
        as_json: bool,
        **options: object,
    ) -> None:
        runs = Run.objects.for_listing()
        if name:
            runs = runs.filter(workflow=find_workflow(name))
        if parent:
            runs = runs.filter(parent_task__run=find_run(parent))
        elif not name:
            runs = runs.roots()
        if status:
            runs = filter_by_status(runs, status)
        found = runs_as_json(runs[:limit], sees_payload=lambda _: True)
        if as_json:
            self.out.json(found)
            return
        show_runs(
            self.out, found, open_approvals.count_by_run(_with(found, TaskStatus.WAITING)), self._stuck(found)
        )
        if not found:
            self.inform("no runs")

    def _stuck(self, runs: list[Json]) -> dict[UUID, str]:
        waiting = _with([run for run in runs if not run["finished_at"]], TaskStatus.QUEUED)
        queued = served_queues.oldest_of(_with(_in_queues_only(runs), TaskStatus.QUEUED))
        places = {
            run: f"in queue `{queue}` since {self.out.time(since)}" for run, (queue, since) in queued.items()
        }
        return places | unsendable_tasks.refusal_texts(waiting)


def _in_queues_only(runs: list[Json]) -> list[Json]:
    """Return the running runs of which no task runs."""
    return [
        run for run in runs if run["status"] == RunStatus.RUNNING and TaskStatus.RUNNING not in run["task_counts"]
    ]


def _with(runs: list[Json], status: TaskStatus) -> list[UUID]:
    """Return the ids of the runs that have a task with this status."""
    return [UUID(run["id"]) for run in runs if status in run["task_counts"]]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"a number from 1, not “{text}”")
    return int(text)
