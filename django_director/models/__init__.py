"""Owns the tables, their constraints and the querysets that select rows.

The models decide nothing about a status: ``engine`` decides which status a row may get. No module here imports
``engine``, ``worker``, the admin, the API or a command.
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
