"""The public signals. They are sent with ``send_robust`` after the commit, so an error of a receiver harms no run.

If the process dies between the commit and the sending, no receiver gets the signal. So code that must miss nothing
reads the rows.
"""

from __future__ import annotations

from django.dispatch import Signal

#: Arguments: ``run``, the ``Run`` that was inserted.
run_started = Signal()
#: Arguments: ``run``, the ``Run`` with its outcome.
run_finished = Signal()
#: Arguments: ``task``, the ``Task`` that a worker has claimed.
task_started = Signal()
#: Arguments: ``task``, the ``Task`` with its outcome.
task_finished = Signal()
