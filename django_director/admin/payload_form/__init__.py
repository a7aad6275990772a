"""Owns the form for a payload, which is made from the JSON Schema of a workflow.

What the fields can't express is entered as JSON, for that part of the payload only. It knows no rows of the
database: the pages that start runs do.
"""

from __future__ import annotations

from .form import COMMENT, PayloadForm, field_key

__all__ = ["COMMENT", "PayloadForm", "field_key"]
