"""Workflows, runs and tasks in Django's admin: looked at, run, canceled, retried, relaunched."""

from __future__ import annotations

from . import runs, tasks, workflows

__all__ = ["runs", "tasks", "workflows"]
