"""Owns the kinds of steps, one module each. All others ask the table ``KINDS`` in place of knowing a kind.

A new kind is one module here with the class of its steps and its ``Kind``, its line in the table, and one module
of ``worker.own_steps`` with what a worker does for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .approval import Approval, ApprovalStep
from .container import Chain, Container, Group
from .kind import Kind
from .map import Map, MapStep
from .task import Task
from .wait import Wait, WaitStep
from .workflow import Workflow, WorkflowStep

__all__ = ["KINDS", "ApprovalStep", "Container", "Kind", "MapStep", "WaitStep", "WorkflowStep"]

_KINDS: Final[tuple[Kind[Any], ...]] = (Task(), Group(), Chain(), Map(), Workflow(), Approval(), Wait())

KINDS: Final[Mapping[str, Kind[Any]]] = {kind.name: kind for kind in _KINDS}
"""Every kind by its name, in the order in which messages and editors list them."""
