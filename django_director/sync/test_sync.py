"""Syncs the workflow files when a test starts a workflow: a test database has had no ``syncworkflows``."""

from __future__ import annotations

import sys

from django_director.engine.launch import named_workflows
from django_director.exceptions import InvalidDefinitions

from . import project, versions


def sync_for_test(name: str) -> bool:
    """Sync the workflow files if a test starts a workflow ``name`` that its database does not have.

    Returns whether the database has the workflow now; outside of tests it does nothing and returns ``False``.
    Raises ``InvalidDefinitions``.
    """
    if not _is_test():
        return False
    reading = project.read_project()
    if reading.problems:
        raise InvalidDefinitions(reading.problems)
    is_there = any(definition.name == name for definition in reading.definitions)
    if is_there:
        versions.store(reading.definitions)
    return is_there


def _is_test() -> bool:
    """Whether a test runner, that of Django or pytest-django, has set up this process."""
    utils = sys.modules.get("django.test.utils")
    return hasattr(getattr(utils, "_TestState", None), "saved_data")


named_workflows.find_elsewhere = sync_for_test
