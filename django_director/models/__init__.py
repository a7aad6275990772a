"""Owns the rows, their constraints and the querysets that ask for them; decides nothing about a status.

What a row may become is decided in ``engine``. Nothing here imports ``engine``, ``worker`` or a face.
"""

from .columns import COMMENT_LENGTH, KEY_LENGTH, NAME_LENGTH, REASON_LENGTH, STATUS_LENGTH
from .runs import Run
from .tasks import Attempt, Gate, Task, TaskLog
from .workers import Installation, Lease, UnwrittenOutcome, Worker
from .workflows import Workflow, WorkflowVersion, graph_of

__all__ = [
    "COMMENT_LENGTH",
    "KEY_LENGTH",
    "NAME_LENGTH",
    "REASON_LENGTH",
    "STATUS_LENGTH",
    "Attempt",
    "Gate",
    "Installation",
    "Lease",
    "Run",
    "Task",
    "TaskLog",
    "UnwrittenOutcome",
    "Worker",
    "Workflow",
    "WorkflowVersion",
    "graph_of",
]
