from __future__ import annotations

from django_director.management.tasks import ResetCommand


class Command(ResetCommand):
    help = "Run a task of a finished run again, and everything downstream of it; the rest is kept."
    verb = "rerun"
    doing = "rerunning"
