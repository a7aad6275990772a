"""Pictures of workflows: a compiled graph is laid out in layers and written as SVG. It uses no database."""

from __future__ import annotations
