"""Reads `schema:` of a workflow: a file below ``schemas/`` beside the workflow file, or the schema itself."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any, Final

from django_director.common.json_values import JsonValue, NotStorable, normalise
from django_director.common.suggestions import LISTED
from django_director.definitions.json_schema.subschemas import TYPES, idle_words, misspelt, slow_patterns, unnamed
from django_director.definitions.payloads import PayloadError, Schema, problems_of
from django_director.definitions.source import codes
from django_director.definitions.source.misreadings import note_misread_schema
from django_director.definitions.source.nodes import MappingNode, Node, at, describe, key_at, plain, text_of
from django_director.definitions.source.report import Report

FOLDER: Final = "schemas"
MAX_BYTES: Final = 1024 * 1024
MAX_NOTES: Final = 10
"""At most so many notes of one kind are made about one schema."""


class SchemaFileError(ValueError):
    """The file can't be used; the message says why."""


def read_schema(node: Node | None, folder: Path, report: Report) -> Schema | None:
    """Return the schema; ``None`` when there is none, or when it is wrong, which is reported.

    ``folder`` is where the workflow file is.
    """
    if node is None:
        return None
    if isinstance(node, MappingNode):
        note_misread_schema(node, report)
        return _checked(plain(node), node, "the schema", report)
    name = text_of(node)
    if not name:
        message = f"`schema` must be a mapping or the name of a file, and is {describe(node)}"
        report.error(codes.VALUE, node, message, f"write `schema: order` for {FOLDER}/order.json")
        return None
    return _read_file(name, node, folder / FOLDER, report)


def _read_file(name: str, node: Node, folder: Path, report: Report) -> Schema | None:
    shown = f"{FOLDER}/{name}.json"
    try:
        schema = _load(folder, f"{name}.json")
    except SchemaFileError as error:
        hint = f"it is looked for in `{FOLDER}/` beside the workflow file"
        report.error(codes.SCHEMA_FILE, node, f"the schema {shown} {error}", hint)
        return None
    return _checked(schema, node, f"the schema {shown}", report)


def _load(folder: Path, name: str) -> JsonValue:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise SchemaFileError(f"lies outside `{FOLDER}/`")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SchemaFileError("is larger than 1 MB")
        schema = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        return normalise(schema, MAX_BYTES)
    except FileNotFoundError:
        raise SchemaFileError("does not exist") from None
    except OSError as error:
        raise SchemaFileError(f"can't be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise SchemaFileError(f"is not JSON: line {error.lineno}: {error.msg}") from error
    except NotStorable as error:
        raise SchemaFileError(f"can't be stored: {error}") from error
    except UnicodeDecodeError as error:
        raise SchemaFileError("is not UTF-8") from error
    except RecursionError as error:
        raise SchemaFileError("is nested too deeply") from error


def _refuse_constant(text: str) -> None:
    raise SchemaFileError(f"holds {text}, which JSON does not have")


def _checked(schema: object, node: Node, what: str, report: Report) -> Schema | None:
    if not isinstance(schema, dict | bool):
        report.error(codes.SCHEMA, node, f"{what} must be an object", "begin with `type: object`")
        return None
    # A mistake is found once by each vocabulary that a draft consists of.
    problems = list(dict.fromkeys(problems_of(schema)))
    for problem in problems:
        _report(problem, node, what, report)
    if problems:
        return None
    _note_doubts(schema, node, what, report)
    return schema


def _note_doubts(schema: Schema, node: Node, what: str, report: Report) -> None:
    for keys, near in islice(misspelt(schema), MAX_NOTES):
        message = f"{what} has `{keys[-1]}`, which means nothing in a JSON Schema"
        report.note(codes.KEYWORD, key_at(node, keys), message, f"did you mean `{near}`?")
    _note_unchecked(schema, node, what, report)
    for keys, part in islice(slow_patterns(schema), MAX_NOTES):
        message = (
            f"{what} has a pattern that takes too long on some texts, which are refused, by its part `{part}`"
        )
        hint = "write the part so that a text fits it in one way only"
        report.note(codes.SLOW_PATTERN, key_at(node, keys), message, hint)


def _note_unchecked(schema: Schema, node: Node, what: str, report: Report) -> None:
    for keys, name, near, is_closed in islice(unnamed(schema), MAX_NOTES):
        message = f"{what} requires `{name}`, which its `properties` do not name"
        message += ", and allows nothing else: no payload fits" if is_closed else ""
        report.note(
            codes.UNNAMED_REQUIRED, at(node, keys), message, f"did you mean `{near}`?" if near else "name it"
        )
    if words := idle_words(schema):
        listed = ", ".join(f"`{word}`" for word in words[:LISTED]) + (", …" if len(words) > LISTED else "")
        message = f"{what} checks nothing: it has {listed} and no keyword of JSON Schema"
        report.note(codes.IDLE_SCHEMA, node, message, f"write `properties: {{{_as_property(schema, words[0])}}}`")


def _as_property(schema: Any, name: str) -> str:
    kind = schema[name]
    return f"{name}: {{type: {kind}}}" if isinstance(kind, str) and kind in TYPES else f"{name}: {{…}}"


def _report(problem: PayloadError, node: Node, what: str, report: Report) -> None:
    message = f"{what} is not a usable JSON Schema: {problem.path}: {problem.message}"
    place = at(node, problem.keys)
    name, kind = problem.keys[-1] if problem.keys else "", text_of(place)
    hint = f"write `{name}: {{type: {kind}}}`" if kind in TYPES else "see https://json-schema.org/learn"
    report.error(codes.SCHEMA, place, message, hint)
