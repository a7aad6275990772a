from __future__ import annotations

from typing import Any

from django_director import engine
from django_director.lookups import find_task
from django_director.management.tasks import TaskCommand, show_preview


class Command(TaskCommand):
    help = "Run a task of a finished run again, and everything downstream of it; the rest is kept."

    def run_command(self, *, task: str, dry_run: bool, user: str | None, **options: Any) -> None:
        found = find_task(task)
        actor = self.act_as(user, "retry", found.run.workflow)
        if dry_run:
            show_preview(self, engine.preview_rerun(found))
            return
        found = engine.rerun(found, user=actor)
        self.note_on_task(actor, found, "Rerun")
        self.done(found.run, f"rerunning {found.label} of run")
