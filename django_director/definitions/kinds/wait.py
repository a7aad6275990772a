"""`type: wait`: a step that waits for a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django_director.definitions.definition import Seconds, Step
from django_director.definitions.fields.drafts import Draft, ReadSteps
from django_director.definitions.fields.expressions import (
    Use,
    bare_hint,
    expressions_in,
    read_template,
    read_until,
)
from django_director.definitions.fields.options import COMMON_KEYS
from django_director.definitions.fields.plain_values import read_duration
from django_director.definitions.source import codes, foreign_words
from django_director.definitions.source.nodes import MappingNode, ScalarNode, describe, text_of
from django_director.definitions.source.report import Report
from django_director.definitions.wording import shown_span, shown_value

from .kind import Facts, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitStep(Step):
    """A step that waits: exactly one of ``seconds`` and ``until`` is given."""

    kind: ClassVar[str] = "wait"
    passes_on: ClassVar[bool] = True
    seconds: Seconds | str | None = None
    """What ``for`` says; a text has expressions in it, and comes to seconds or a duration."""
    until: Any = None
    """An expression or epoch seconds; a time that the file has as text is an expression here, in quotes."""

    def expressions(self) -> Mapping[str, Any]:
        return {"until": self.until}

    def templates(self) -> Mapping[str, Any]:
        return {"for": self.seconds}


class Wait(Kind[WaitStep]):
    name = "wait"
    step = WaitStep
    keys = ("type", "for", "until", *COMMON_KEYS)
    foreign_words = (
        foreign_words.words("""
write `for: 30s`
    seconds duration delay time sleep minutes timeout
write `until: payload.at`, or a time of ISO 8601
    at timestamp date target_time datetime
""")
        | foreign_words.OF_STEPS
    )
    schema: ClassVar = {
        "properties": {
            "type": {"const": "wait"},
            "for": {
                "anyOf": [
                    {"$ref": "#/definitions/duration"},
                    {"type": "string", "pattern": "\\$\\{\\{"},
                ],
                "description": "A duration, or an expression that gives one: ${{ payload.delay }}.",
            },
            "until": {
                "type": ["string", "number"],
                "description": "A time of ISO 8601, epoch seconds, or an expression that gives one.",
            },
        },
        "required": ["type"],
        "oneOf": [{"required": ["for"]}, {"required": ["until"]}],
    }

    def read(self, draft: Draft, body: MappingNode, report: Report, read_steps: ReadSteps) -> None:
        draft.uses = uses = list(draft.uses)
        draft.own = {
            "seconds": _read_for(body, report, uses),
            "until": read_until(body, "until", report, uses),
        }
        given = [key for key in ("for", "until") if body.get(key) is not None]
        if len(given) != 1:
            what = "both" if given else "neither"
            message = f"the wait “{draft.name}” needs one of `for` and `until`, and has {what}"
            report.error(codes.INCOMPLETE, draft.node, message, "write `for: 30s`, or `until:` with a time")

    def describe(self, step: WaitStep) -> Facts:
        yield "for", step.seconds if isinstance(step.seconds, str) else shown_span(step.seconds)
        yield "until", shown_value(step.until)


def _read_for(body: MappingNode, report: Report, uses: list[Use]) -> int | float | str | None:
    node = body.get("for")
    if hint := bare_hint(node, report):
        report.error(codes.DURATION, node, f"`for` must be a duration, and is the text “{text_of(node)}”", hint)
        return None
    if node is None or not any(expressions_in(node)):
        return read_duration(body, "for", report, lowest=0)
    if not isinstance(node, ScalarNode):
        report.error(codes.DURATION, node, f"`for` must be a duration, and is {describe(node)}", _FOR)
        return None
    text: str = read_template(node, "for", report, uses)
    return text


_FOR: Final = "write `for: 90s`, or an expression that gives one: `for: ${{ payload.delay }}`"
