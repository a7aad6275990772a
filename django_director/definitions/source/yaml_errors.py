"""Reports what YAML itself does not accept, with a hint how to write it."""

from __future__ import annotations

from typing import Any, Final

import yaml

from . import codes
from .nodes import Node
from .report import Report

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENED: Final = 'inside `{…}` and `[…]` an expression stands in quotes: "${{ … }}"'
_BRACKETS: Final = "close what is open; inside `{…}` and `[…]` a value with brackets or a comma stands in quotes"


def report_syntax(error: yaml.MarkedYAMLError, text: str, report: Report) -> None:
    """Report a file that is no YAML; ``text`` is the whole of it."""
    mark = error.problem_mark or error.context_mark
    node = None if mark is None else _node(mark)
    if node is not None and (found := _unclosed(text, node)):
        place, message, hint = found
        report.error(codes.NOT_YAML, place, f"not valid YAML: {message}", hint)
        return
    what = ", ".join(part for part in (error.problem, error.context) if part)
    report.error(codes.NOT_YAML, node, f"not valid YAML: {what}", _syntax_hint(what, node, text))


def _unclosed(text: str, place: Node) -> tuple[Node, str, str] | None:
    """Return where a quote or bracket begins that is not closed as it was meant, with message and hint.

    ``place`` is where YAML gave up, which may be far behind it.
    """
    seen = _Seen()
    try:
        for token in yaml.scan(text, Loader=_LOADER):
            if (token.start_mark.line + 1, token.start_mark.column + 1) >= (place.line, place.column):
                break
            seen.add(token)
    except yaml.MarkedYAMLError as error:
        if error.context_mark and "quoted scalar" in (error.context or "") and "stream" in (error.problem or ""):
            hint = "close it at the end of the text, with the same sign"
            return _node(error.context_mark), "the quote that begins here is never closed", hint
    if seen.quoted is not None:
        return _of_quotes(seen.quoted, place)
    if seen.opened and not "\n".join(text.split("\n")[place.line - 1 :])[place.column - 1 :].strip():
        token = seen.opened[-1]
        sign = "[" if isinstance(token, yaml.FlowSequenceStartToken) else "{"
        return _node(token.start_mark), f"the `{sign}` that begins here is never closed", _BRACKETS
    return None


class _Seen:
    """The brackets that are open, and the text in quotes that has just ended."""

    def __init__(self) -> None:
        self.opened: list[Any] = []
        self.quoted: Any = None

    def add(self, token: yaml.Token) -> None:
        if isinstance(token, yaml.FlowSequenceStartToken | yaml.FlowMappingStartToken):
            self.opened.append(token)
        elif isinstance(token, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken) and self.opened:
            self.opened.pop()
        self.quoted = token if isinstance(token, yaml.ScalarToken) and token.style in ("'", '"') else None


def _of_quotes(token: yaml.ScalarToken, place: Node) -> tuple[Node, str, str]:
    """Return place, message and hint of a text in quotes that has ended too late, or too early."""
    first, last = token.start_mark.line + 1, token.end_mark.line + 1
    if first != last:
        message = f"the quote that begins here ends only in line {last}"
        return _node(token.start_mark), message, f"close it with {token.style} at the end of the text"
    again = "''" if token.style == "'" else '\\"'
    hint = f"write a quote inside of it as {again}, or put the text in quotes of the other kind"
    return place, "the text in quotes has ended before this", hint


def _node(mark: yaml.Mark) -> Node:
    return Node(line=mark.line + 1, column=mark.column + 1)


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
