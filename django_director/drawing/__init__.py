"""Pictures of workflows: a compiled graph, laid out in layers and written as SVG. Pure: no database."""

from __future__ import annotations
