"""Waits for the outcome of a run, prints it, and ends the command with the exit code for it."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError

from django.core.management.base import CommandError

from django_director.engine import lineage
from django_director.models import Run, Task
from django_director.status import RunStatus
from django_director.worker.local import run_to_end

from .base import FAILED, TIMED_OUT, DirectorCommand
from .display import show_outcome
from .output import duration
from .progress import Progress, follow


def add_wait_arguments(parser: ArgumentParser) -> None:
    """Add the options ``--wait`` and ``--timeout``."""
    parser.add_argument("--wait", action="store_true", help="show what happens until there is an outcome")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="how long to wait at most")


def check_wait_arguments(wait: bool, timeout: float | None) -> None:
    """Raise ``CommandError`` for ``--timeout`` without ``--wait``. Commands call this before they do anything."""
    if timeout is not None and not wait:
        raise CommandError("--timeout needs --wait")


def wait_for_outcome(command: DirectorCommand, run: Run, timeout: float | None) -> None:
    """Print what happens until the outcome, then the tasks; end the command with the exit code of the outcome."""
    command.stdout.flush()
    run.refresh_from_db()
    in_time = follow_to_end(command, run, timeout)
    show_outcome(command.out, run)
    exit_with_outcome(command, run, in_time)


def follow_to_end(command: DirectorCommand, run: Run, timeout: float | None, *, local: bool = False) -> bool:
    """Wait until the run has ended or the time is up; return whether it has ended.

    With ``local`` this process runs the tasks. A local run that waits for an approval counts as ended too.
    """
    progress = Progress(command.stderr, quiet=not command.verbosity)
    try:
        if local:
            run_to_end(run, timeout, progress.update)
            progress.finish(run)
        else:
            follow(run, progress, timeout)
    except TimeoutError:
        progress.finish(run)
        return False
    return True


def exit_with_outcome(command: DirectorCommand, run: Run, in_time: bool) -> None:
    """Print that the run has succeeded; else raise ``CommandError`` with the exit code."""
    if in_time and not run.is_finished:
        command.fail(_describe_approvals(run), returncode=TIMED_OUT)
    if not run.is_finished:
        command.fail(f"run {run.pk} has no outcome yet; see “showrun {run.pk} --watch”", returncode=TIMED_OUT)
    if run.status != RunStatus.SUCCESS:
        command.fail(f"run {run.pk} {run.shown_status}{_first_error(run)}", returncode=FAILED)
    command.inform(f"success in {duration(run.duration or 0.0)}")


def _first_error(run: Run) -> str:
    """Return the first error of a run, as the end of a sentence; empty if there is none."""
    if run.error:
        return f": {run.error}"
    task = run.tasks.failed().steps().order_by("finished_at").for_listing().first()
    return f": {task.label}: {task.error}" if task else ""


def _describe_approvals(run: Run) -> str:
    """Return a sentence about the approvals for which a local run and its child runs wait."""
    tasks = Task.objects.filter(run__in=[run.pk, *lineage.descendants(run.pk)]).asked()
    asked = list(tasks.for_listing().order_by("asked_at"))
    named = ", ".join(f"“{task.label}”" for task in asked)
    decide = f"approvetask {asked[0].run_id}:{asked[0].label}" if asked else f"showrun {run.pk}"
    return f"run {run.pk} waits for approval of {named}: see “{decide}”; a worker takes it from there"


def seconds(text: str) -> float:
    """Return the seconds of an argument. Raises ``ArgumentTypeError``."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"a number of seconds, not “{text}”")
    return value
