from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError

from django_director import engine
from django_director.engine import family, waiting
from django_director.local import run_to_end
from django_director.lookups import find_workflow
from django_director.management.base import (
    FAILED,
    TIMED_OUT,
    ActingCommand,
    add_json_argument,
    add_payload_argument,
    read_payload,
)
from django_director.management.display import show_result, show_tasks
from django_director.management.output import duration
from django_director.management.progress import Progress, follow
from django_director.models import Run, Task
from django_director.representation import run_as_json
from django_director.status import RunStatus, Stop, Trigger


class Command(ActingCommand):
    help = (
        "Start a workflow. Exits with 0 on success, 1 on failure, and 3 when --timeout is over, or, with --local, "
        "when somebody has to decide."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        add_payload_argument(parser)
        parser.add_argument("--comment", default="", help="why, for those who look at the run")
        parser.add_argument("--idempotency-key", metavar="KEY", help="start once, however often this is called")
        parser.add_argument("--wait", action="store_true", help="show what happens until there is an outcome")
        parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="how long to wait at most")
        parser.add_argument("--local", action="store_true", help="run it in this process, without a broker")
        add_json_argument(parser)
        super().add_arguments(parser)

    def run_command(self, **options: Any) -> None:
        waits = options["wait"] or options["local"]
        if options["timeout"] is not None and not waits:
            raise CommandError("--timeout needs --wait or --local")
        if options["idempotency_key"] == "":
            raise CommandError("--idempotency-key is empty; leave it out to start without one")
        run = self._start(**options)
        if options["as_json"]:
            self.talk(_announcement(run))
        else:
            self.out.line(_announcement(run))
        self.stdout.flush()
        if not waits:
            self._tell_delay(run)
        in_time = self._follow(run, options["local"], options["timeout"]) if waits else True
        self._report(run, as_json=options["as_json"], with_tasks=waits)
        if waits:
            self._exit(run, in_time)

    def _start(self, *, name: str, payload: str | None, user: str | None, **options: Any) -> Run:
        actor = self.act_as(user, "run", find_workflow(name)) if user else None
        run = engine.start(
            name,
            read_payload(payload),
            comment=options["comment"],
            user=actor,
            idempotency_key=options["idempotency_key"],
            trigger=Trigger.COMMAND,
            publish=not options["local"],
        )
        if run.created:
            self.note(actor, run, "Started")
        return run

    def _follow(self, run: Run, local: bool, timeout: float | None) -> bool:
        """Let the run come to its end; say whether it did in time."""
        progress = Progress(self.stderr, quiet=not self.verbosity)
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

    def _report(self, run: Run, *, as_json: bool, with_tasks: bool) -> None:
        shown = run_as_json(run, with_payload=True, with_tasks=with_tasks) if as_json or with_tasks else {}
        if as_json:
            self.out.json(shown)
        elif with_tasks:
            show_tasks(self.out, shown["tasks"])
            show_result(self.out, shown)

    def _tell_delay(self, run: Run) -> None:
        """Say why nothing of a run starts now, if that is so."""
        if place := waiting.of_run(run):
            self.talk(f"it {place}")
        elif run.stop == Stop.SKIP:
            self.talk(run.error)

    def _exit(self, run: Run, in_time: bool) -> None:
        if in_time and not run.is_finished:
            self.fail(_asked(run), returncode=TIMED_OUT)
        if not run.is_finished:
            self.fail(f"run {run.pk} has no outcome yet; see “showrun {run.pk} --watch”", returncode=TIMED_OUT)
        if run.status != RunStatus.SUCCESS:
            self.fail(f"run {run.pk} {run.shown_status}{_why(run)}", returncode=FAILED)
        self.talk(f"success in {duration(run.duration or 0.0)}")


def _announcement(run: Run) -> str:
    done = "started run" if run.created else "has been started before with this idempotency key, as run"
    return f"{run.workflow} {done} {run.pk}"


def _why(run: Run) -> str:
    """The first error of the run, as the end of a sentence."""
    if run.error:
        return f": {run.error}"
    task = run.tasks.failed().steps().order_by("finished_at").for_listing().first()
    return f": {task.label}: {task.error}" if task else ""


def _asked(run: Run) -> str:
    """What a local run waits for: its own approvals, and those of its child runs."""
    tasks = Task.objects.filter(run__in=[run.pk, *family.descendants(run.pk)]).asked()
    asked = list(tasks.for_listing().order_by("asked_at"))
    named = ", ".join(f"“{task.label}”" for task in asked)
    decide = f"approvetask {asked[0].run_id}:{asked[0].label}" if asked else f"showrun {run.pk}"
    return f"run {run.pk} waits for approval of {named}: see “{decide}”; a worker takes it from there"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ArgumentTypeError(f"a number of seconds, not “{text}”")
    return seconds
