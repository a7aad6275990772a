"""Pictures of workflows: a graph is laid out in frames, and written as SVG or text. It uses no database."""

from __future__ import annotations
