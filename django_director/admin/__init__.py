"""The pages of Django's admin on which people see workflows, runs and tasks, and start and steer them."""

from __future__ import annotations

from . import runs, tasks, workflows

__all__ = ["runs", "tasks", "workflows"]
