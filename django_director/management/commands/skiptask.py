from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_director.management.base import Options
from django_director.management.tasks import ResetCommand


class Command(ResetCommand):
    help = "Take a failed or canceled task of a finished run as skipped; everything downstream of it runs again."
    verb = "skip"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--comment", default="", metavar="TEXT", help="why; kept with the task")
        super().add_arguments(parser)

    def operation_options(self, options: Options) -> dict[str, Any]:
        return {"comment": options["comment"]}
