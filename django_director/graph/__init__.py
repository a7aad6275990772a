"""Compile a definition into what the engine walks: nodes, junctions, the shapes of inputs, what follows from what.

Pure: no database, no Celery.
"""

from __future__ import annotations

from . import items
from .compiler import compile_definition
from .model import ARITY, OWN_TASK, Graph, Junction, Node, Release
from .rules import Tally
from .shapes import MAX_LEVELS, NOTHING, Shape, Span, expand, spans
from .values import Outcome, Values, of_concurrency, of_node, of_result
from .walks import Consequences, Replay, Walk, foresee, replay

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
    "spans",
]
