"""The format of workflow files as a JSON Schema, for editors that complete and check YAML.

``workflows.schema.json`` has what holds for all files; the options of each kind of step come from ``kinds``, the
trigger rules from their table.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from .kinds import KINDS, Kind
from .trigger_rules import RULES

_FILE: Final = Path(__file__).with_name("workflows.schema.json")

_COMMON: Final = {
    "description": {"type": "string"},
    "needs": {
        "allOf": [{"$ref": "#/definitions/names"}],
        "description": "The ids it waits for, in place of the entry before it; [] starts at once.",
    },
    "when": {
        "allOf": [{"$ref": "#/definitions/expression"}],
        "description": "Without it, or when it is true, the step runs.",
    },
    "trigger_rule": {"$ref": "#/definitions/trigger_rule"},
}
"""The options that steps of all kinds have."""


def editor_schema() -> str:
    """Return the schema's text. It knows the form of a file; only ``read_files`` knows what is right."""
    schema = json.loads(_FILE.read_text(encoding="utf-8"))
    schema["definitions"] |= {
        "trigger_rule": {
            "enum": list(RULES),
            "description": "Judged once, when everything upstream has finished.",
        },
        **{_name(kind): _options(kind) for kind in KINDS.values()},
        "options": {"anyOf": [{"type": "null"}, {"type": "object"}], **_choice(_in_order_of_choice())},
    }
    return json.dumps(schema, indent=2) + "\n"


def _name(kind: Kind[Any]) -> str:
    return kind.schema_name or kind.name


def _options(kind: Kind[Any]) -> dict[str, Any]:
    """Return the schema of the options of one kind."""
    return {
        "type": "object",
        "properties": _COMMON | kind.schema["properties"],
        "patternProperties": {"^x-": True},
        "additionalProperties": False,
        **{key: value for key, value in kind.schema.items() if key != "properties"},
    }


def _in_order_of_choice() -> list[tuple[dict[str, Any], str]]:
    """Return the conditions by which the kind of a step is told, with the name of its options' schema.

    What `type` says comes first, then the keys that tell a kind, then a Celery task, which has none of these.
    """
    types: dict[str, list[str]] = {}
    keys: list[tuple[dict[str, Any], str]] = []
    for kind in KINDS.values():
        if kind.marker == "type":
            types.setdefault(_name(kind), []).append(kind.name)
        elif kind.name != "task":
            keys.append(({"required": [kind.marker]}, _name(kind)))
    by_type = [
        ({"required": ["type"], "properties": {"type": {"enum": names}}}, name) for name, names in types.items()
    ]
    return [*by_type, *keys, ({}, _name(KINDS["task"]))]


def _choice(conditions: list[tuple[dict[str, Any], str]]) -> Any:
    """Return `if`, `then` and `else` that go through the conditions in turn."""
    if not conditions:
        return True
    (condition, name), *others = conditions
    return {
        "if": {"type": "object", **condition},
        "then": {"$ref": f"#/definitions/{name}"},
        "else": _choice(others),
    }
