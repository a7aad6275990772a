from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django_director import engine
from django_director.lookups import find_run
from django_director.management.base import (
    ActingCommand,
    add_dry_run_argument,
    add_payload_argument,
    read_payload,
)
from django_director.management.outcome import add_wait_arguments, check_wait_arguments, wait_for_outcome
from django_director.masking import mask
from django_director.models import Run


class Command(ActingCommand):
    help = "Start a new run of the same workflow, with the same payload unless another is given."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", help="the run's id, or its first digits")
        add_payload_argument(parser)
        # Not `--version`: Django's own option of that name prints Django's.
        parser.add_argument(
            "--same-version",
            action="store_const",
            const="same",
            default="current",
            dest="chosen_version",
            help="use the definition that the run had, not the current one",
        )
        parser.add_argument("--comment", default="", metavar="TEXT", help="shown with the new run")
        add_dry_run_argument(parser)
        add_wait_arguments(parser)
        super().add_arguments(parser)

    def run_command(
        self,
        *,
        run: str,
        payload: str | None,
        chosen_version: str,
        comment: str,
        dry_run: bool,
        user: str | None,
        **options: Any,
    ) -> None:
        check_wait_arguments(options["wait"], options["timeout"])
        old = find_run(run)
        actor = self.act_as(user, "retry", old.workflow)
        given = read_payload(payload)
        if dry_run:
            self._preview(old, given, chosen_version)
            return
        new = engine.relaunch(old, given, user=actor, version=chosen_version, comment=comment)
        self.note(actor, new, f"Relaunched from {old.pk}")
        self.done(new, "started run")
        if options["wait"]:
            wait_for_outcome(self, new, options["timeout"])

    def _preview(self, run: Run, given: Any, chosen_version: str) -> None:
        preview = engine.preview_relaunch(run, given, version=chosen_version)
        schema = preview.version.graph.definition.schema
        self.out.fields(
            [
                ("workflow", run.workflow.name),
                ("version", preview.version.number),
                ("tasks", preview.tasks),
                ("payload", json.dumps(mask(preview.payload, schema))),
            ]
        )
