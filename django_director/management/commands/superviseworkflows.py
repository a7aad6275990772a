from __future__ import annotations

import signal
from argparse import ArgumentParser
from dataclasses import asdict

from django_director.conf import director
from django_director.engine.supervisor.loop import Report, Supervisor
from django_director.management.base import DirectorCommand


class Command(DirectorCommand):
    help = (
        "Run the supervisor apart from Celery's workers, until SIGTERM or Ctrl-C. It publishes what is due, fires "
        'timers and recovers what was lost. Any number may run; one works. Meant for DIRECTOR["SUPERVISOR"] = '
        '"process".'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do once what is due now, and exit")

    def run_command(self, *, once: bool, **options: object) -> None:
        supervisor = Supervisor()
        if once:
            self.out.line(_describe(supervisor.tick()))
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        if director.SUPERVISOR == "worker":
            self.inform(
                'Every worker has a supervisor too, as DIRECTOR["SUPERVISOR"] is "worker": one of them works.'
            )
        self.inform(f"{supervisor.name} supervises, or stands by. Ctrl-C stops it.")
        supervisor.run()
        self.inform("stopped")


def _describe(report: Report) -> str:
    done = [f"{name} {number}" for name, number in asdict(report).items() if number]
    return ", ".join(done) or "nothing was due"
