"""A definition compiled for the engine: its nodes, its junctions, the shapes of inputs, what follows from what.

It uses neither a database nor Celery.
"""

from __future__ import annotations

from . import items
from .batches import Block, block_of, has_lanes, items_at_once
from .compiled_graph import ARITY, OWN_TASK, Graph, Junction, Node, Release
from .compiler import compile_definition
from .rules import Tally
from .shapes import MAX_LEVELS, NOTHING, Shape, Span, expand, spans
from .stored_lists import is_read_in_pieces
from .values import (
    Outcome,
    StoredList,
    Values,
    of_concurrency,
    of_node,
    of_over,
    of_result,
    stored_list,
    views_of,
)
from .walks import Consequences, Replay, Walk, foresee, replay, roots_of, start_of

__all__ = [
    "ARITY",
    "MAX_LEVELS",
    "NOTHING",
    "OWN_TASK",
    "Block",
    "Consequences",
    "Graph",
    "Junction",
    "Node",
    "Outcome",
    "Release",
    "Replay",
    "Shape",
    "Span",
    "StoredList",
    "Tally",
    "Values",
    "Walk",
    "block_of",
    "compile_definition",
    "expand",
    "foresee",
    "has_lanes",
    "is_read_in_pieces",
    "items",
    "items_at_once",
    "of_concurrency",
    "of_node",
    "of_over",
    "of_result",
    "replay",
    "roots_of",
    "spans",
    "start_of",
    "stored_list",
    "views_of",
]
