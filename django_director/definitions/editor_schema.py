"""The format of workflow files as a JSON Schema, for editors that complete and check YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("workflows.schema.json")


def editor_schema() -> str:
    """The schema's text. It knows the form of a file; only ``read`` knows what is right."""
    return _FILE.read_text(encoding="utf-8")
