"""The engine's modules import each other in one direction, inside functions and for types too."""

from __future__ import annotations

from graphlib import TopologicalSorter

from .imports import imported_by_the_package, imports, modules

ROOMS = ("flow", "concurrency", "attempts", "batches", "launch", "reset", "steps", "supervisor")
"""Each imports only those before it."""
AFTER = {"stopping": "flow", "pausing": "concurrency"}
"""Common modules that import a room, and this is the last one; all others import none."""


def test_no_module_imports_itself_by_way_of_others():
    # Raises `CycleError`, which names a circle.
    assert set(TopologicalSorter(imports()).static_order()) == modules().keys()


def test_each_room_imports_only_those_before_it():
    wrong = [(own, other) for own, others in imports().items() for other in others if rank(other) > rank(own)]
    assert wrong == []


def rank(module: str) -> float:
    """The place of a module in the order."""
    room, *inside = module.split(".")
    if inside:
        return ROOMS.index(room)
    return ROOMS.index(AFTER[room]) + 0.5 if room in AFTER else -1


def test_what_reacts_to_the_end_of_a_run_is_imported_with_anything_of_the_engine():
    assert {"concurrency.admission", "steps.child_workflows"} <= imported_by_the_package()
