"""A definition compiled for the engine: its nodes, its junctions, the shapes of inputs, what follows from what.

It uses neither a database nor Celery.
"""

from __future__ import annotations

from . import items
from .compiled_graph import ARITY, OWN_TASK, Graph, Junction, Node, Release
from .compiler import compile_definition
from .rules import Tally
from .shapes import MAX_LEVELS, NOTHING, Shape, Span, expand, spans
from .values import Outcome, Values, of_concurrency, of_node, of_result, views_of
from .walks import Consequences, Replay, Walk, foresee, replay, roots_of, start_of

__all__ = [
    "ARITY",
    "MAX_LEVELS",
    "NOTHING",
    "OWN_TASK",
    "Consequences",
    "Graph",
    "Junction",
    "Node",
    "Outcome",
    "Release",
    "Replay",
    "Shape",
    "Span",
    "Tally",
    "Values",
    "Walk",
    "compile_definition",
    "expand",
    "foresee",
    "items",
    "of_concurrency",
    "of_node",
    "of_result",
    "replay",
    "roots_of",
    "spans",
    "start_of",
    "views_of",
]
