"""What `directorstatus` says."""

from __future__ import annotations

from io import StringIO

from django.core.management import call_command


def status() -> tuple[int, str]:
    """Return the exit code of the command and what it prints."""
    out = StringIO()
    try:
        call_command("directorstatus", stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()
