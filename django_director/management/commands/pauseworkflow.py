from __future__ import annotations

from typing import Any

from django_director import engine
from django_director.exceptions import Conflict
from django_director.management.base import VIA
from django_director.management.output import number_of
from django_director.management.runs import RunCommand
from django_director.models import Run
from django_director.status import RUN_ACTIVE


class Command(RunCommand):
    help = "Pause a run: nothing of it starts until it is resumed; what runs goes on."
    action = "cancel"

    def act(self, run: Run, user: Any, **options: Any) -> None:
        run = engine.pause(run, user=user, via=VIA)
        self.done(run, "paused run")

    def preview(self, run: Run, **options: Any) -> None:
        if run.shown_status not in RUN_ACTIVE:
            raise Conflict(f"run {run.pk} can't be paused: it is {run.shown_status}")
        steps = run.tasks.steps()
        waiting = steps.waiting().count()
        unstarted = steps.unstarted().count() - waiting
        self.out.line(f"{number_of(unstarted, 'task')} would not start until the run is resumed")
        if waiting:
            self.out.line(f"{number_of(waiting, 'waiting task')} would go on waiting")
        self.out.line(f"{number_of(steps.running().count(), 'running task')} would go on")
