"""The check of the payload's keys in expressions, against the workflow's schema."""

from __future__ import annotations

from typing import Any, Final

from django_director.common.suggestions import LISTED, MAX_HINTS, nearest
from django_director.definitions.source import codes
from django_director.definitions.source.report import Report
from django_director.expressions import spell

from .expressions import Use

_ELSEWHERE: Final = ("$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas")
"""Keywords by which a schema may name keys in another place."""

Path = tuple[str | int, ...]


def check_payload(use: Use, report: Report) -> None:
    """Report a key that the schema does not allow; note one that is only near a key that it names."""
    schema = report.schema
    path = use.reference.path
    if use.reference.may_be_missing:
        return
    for depth, key in enumerate(path, start=1):
        # Beside `$ref` older drafts ignore all else.
        if not isinstance(key, str) or not isinstance(schema, dict) or "$ref" in schema:
            return
        names = schema.get("properties", {})
        if key not in names:
            _report(use, path[:depth], schema, report)
            return
        schema = names[key]


def _report(use: Use, path: Path, schema: dict[str, Any], report: Report) -> None:
    names = schema.get("properties", {})
    if schema.get("patternProperties"):
        return
    message = f"`{use.key}` uses `{spell('payload', *path)}`, which the schema does not"
    if schema.get("additionalProperties") is False:
        listed = ", ".join(f"`{name}`" for name in names) if len(names) <= LISTED else ""
        known = f"known: {listed}" if listed else "name it in the `properties` of the schema"
        report.error(codes.PAYLOAD_KEY, use.node, f"{message} allow", _near(path, names, report) or known)
    elif not any(keyword in schema for keyword in _ELSEWHERE) and (hint := _near(path, names, report)):
        report.note(codes.UNNAMED_KEY, use.node, f"{message} name", hint)


def _near(path: Path, names: dict[str, Any], report: Report) -> str:
    """Return the question whether another key was meant; an empty text when no key is near."""
    hints, place = report.budget.hints, (report.workflow, *path)
    if place not in hints:
        near = nearest(str(path[-1]), names) if len(hints) < MAX_HINTS else ""
        hints[place] = f"did you mean `{near}`?" if near else ""
    return hints[place]
