"""What YAML itself does not accept, with the way out."""

from __future__ import annotations

from typing import Final

import yaml

from . import codes
from .report import Report
from .tree import Node

_OPENED: Final = 'inside `{…}` and `[…]` an expression stands in quotes: "${{ … }}"'
_BRACKETS: Final = "close what is open; inside `{…}` and `[…]` a value with brackets or a comma stands in quotes"


def report_syntax(error: yaml.MarkedYAMLError, text: str, report: Report) -> None:
    """Report a file that is no YAML; ``text`` is the whole of it."""
    mark = error.problem_mark or error.context_mark
    node = Node(line=mark.line + 1, column=mark.column + 1) if mark else None
    what = ", ".join(part for part in (error.problem, error.context) if part)
    report.error(codes.NOT_YAML, node, f"not valid YAML: {what}", _syntax_hint(what, node, text))


def _syntax_hint(what: str, node: Node | None, text: str) -> str:
    lines = text.split("\n")
    line = lines[node.line - 1] if node and node.line <= len(lines) else ""
    if "\t" in line:
        return "use spaces, not tabs"
    if "flow mapping" in what or "flow sequence" in what:
        return _OPENED if "${{" in line else _BRACKETS
    if "mapping values" in what:
        return "put texts with “: ” in quotes, and check the indent"
    return "check the indent, the brackets and the quotes of this line and the one before"
