from __future__ import annotations

import json
from argparse import ArgumentParser

from django_director.management.base import Options, add_payload_argument, read_payload
from django_director.management.runs import WaitingRunCommand
from django_director.masking.values import mask
from django_director.models import Run
from django_director.models.users import User
from django_director.presentation.relaunch_payloads import changed_payload


class Command(WaitingRunCommand):
    help = "Start a new run of the same workflow, with the same payload unless another is given."
    verb = "relaunch"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_payload_argument(parser)
        # The name `--version` is taken: with it Django prints its own version.
        parser.add_argument(
            "--same-version",
            action="store_const",
            const="same",
            default="current",
            dest="chosen_version",
            help="use the definition that the run had, not the current one",
        )
        parser.add_argument("--comment", default="", metavar="TEXT", help="shown with the new run")

    def begin_run(self, run: Run, user: User, options: Options) -> Run:
        payload, version = self._payload(run, user, options), options["chosen_version"]
        new = self.perform(run, user, payload=payload, version=version, comment=options["comment"])
        self.print_done(new, "started run")
        return new

    def _payload(self, run: Run, user: User, options: Options) -> object:
        return changed_payload(run, read_payload(options["payload"]), options["chosen_version"], user=user)

    def preview(self, run: Run, options: Options) -> None:
        payload, version = self._payload(run, None, options), options["chosen_version"]
        preview = self.action.preview(run, payload, version=version)
        schema = preview.version.graph.definition.schema
        self.out.fields(
            [
                ("workflow", run.workflow.name),
                ("version", preview.version.number),
                ("tasks", preview.tasks),
                ("payload", json.dumps(mask(preview.payload, schema))),
            ]
        )
