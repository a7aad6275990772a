"""Public signals, sent after commit with ``send_robust``: a receiver can't harm a run.

A receiver may miss a signal when its process dies between commit and sending; the rows are the truth.
"""

from __future__ import annotations

from django.dispatch import Signal

#: Arguments: ``run``, the ``Run`` that was inserted.
run_started = Signal()
#: Arguments: ``run``, the ``Run`` with its outcome.
run_finished = Signal()
#: Arguments: ``task``, the ``Task`` that a worker claimed.
task_started = Signal()
#: Arguments: ``task``, the ``Task`` with its outcome.
task_finished = Signal()
