from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import CommandError

from django_director.engine.concurrency import pending_reasons
from django_director.management.base import (
    VIA,
    ActingCommand,
    Options,
    add_json_argument,
    add_payload_argument,
    read_payload,
)
from django_director.management.display import show_outcome, show_run_as_json
from django_director.management.outcome import add_wait_arguments, exit_with_outcome, follow_to_end
from django_director.models import Run
from django_director.presentation.actions import ACTIONS
from django_director.presentation.lookups import find_workflow
from django_director.presentation.serializers import run_as_json
from django_director.status import Stop, Trigger


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
        add_wait_arguments(parser)
        parser.add_argument("--local", action="store_true", help="run it in this process, without a broker")
        add_json_argument(parser)
        super().add_arguments(parser)

    def run_command(
        self, *, wait: bool, local: bool, timeout: float | None, as_json: bool, **options: object
    ) -> None:
        waits = wait or local
        if timeout is not None and not waits:
            raise CommandError("--timeout needs --wait or --local")
        if options["idempotency_key"] == "":
            raise CommandError("--idempotency-key is empty; leave it out to start without one")
        run = self._start(options, local=local)
        if as_json:
            self.inform(_announcement(run))
        else:
            self.out.line(_announcement(run))
        self.stdout.flush()
        if not waits:
            self._tell_delay(run)
        in_time = not waits or follow_to_end(self, run, timeout, local=local)
        self._report(run, as_json=as_json, with_tasks=waits)
        if waits:
            exit_with_outcome(self, run, in_time)

    def _start(self, options: Options, *, local: bool) -> Run:
        action, name, user = ACTIONS["start"], options["name"], options["user"]
        actor = self.act_as(user, action, find_workflow(name)) if user else None
        run: Run = action.operation(
            name,
            read_payload(options["payload"]),
            comment=options["comment"],
            user=actor,
            via=VIA,
            idempotency_key=options["idempotency_key"],
            trigger=Trigger.COMMAND,
            publish=not local,
        )
        return run

    def _report(self, run: Run, *, as_json: bool, with_tasks: bool) -> None:
        if as_json and with_tasks:
            show_run_as_json(self.out, run)
        elif as_json:
            self.out.json(run_as_json(run, with_payload=True))
        elif with_tasks:
            show_outcome(self.out, run)

    def _tell_delay(self, run: Run) -> None:
        """Print why no task of the run starts now, if that is so."""
        if place := pending_reasons.of_run(run):
            self.inform(f"it {place}")
        elif run.stop == Stop.SKIP:
            self.inform(run.error)


def _announcement(run: Run) -> str:
    done = "started run" if run.created else "has been started before with this idempotency key, as run"
    return f"{run.workflow} {done} {run.pk}"
