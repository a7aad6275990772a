"""`workflow:`: another workflow as a step, which is a child run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from django_director.definitions.definition import Seconds, Step
from django_director.definitions.fields.drafts import Draft, ReadSteps
from django_director.definitions.fields.expressions import bare_hint, expressions_in, read_template
from django_director.definitions.fields.options import COMMON_KEYS
from django_director.definitions.fields.plain_values import read_duration, read_text
from django_director.definitions.source import codes, foreign_words
from django_director.definitions.source.nodes import MappingNode
from django_director.definitions.source.report import Report
from django_director.definitions.source.workflow_calls import Call
from django_director.definitions.stored_values import Json, keep_order, restore_order, without_none
from django_director.definitions.wording import shown_span, shown_value

from .kind import Facts, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStep(Step):
    """A step that starts a child run and waits for it."""

    kind: ClassVar[str] = "workflow"
    workflow: str
    payload: Any = field(default_factory=dict)
    timeout: Seconds | None = None

    def templates(self) -> Mapping[str, Any]:
        return {"payload": self.payload}


class Workflow(Kind[WorkflowStep]):
    name = "workflow"
    step = WorkflowStep
    keys = ("workflow", "payload", "timeout", *COMMON_KEYS)
    marker = "workflow"
    title = "step"
    foreign_words = foreign_words.words("""
what a child workflow gets is its `payload`
    with args kwargs inputs input params parameters arguments conf
that is said by the steps of the child workflow
    retry retries queue continue_on_error
""")
    schema_name = "workflow_step"
    schema: ClassVar = {
        "properties": {
            "workflow": {
                "allOf": [{"$ref": "#/definitions/workflow_name"}],
                "description": "Another workflow, as one step.",
            },
            "payload": {"$ref": "#/definitions/payload"},
            "timeout": {"$ref": "#/definitions/duration"},
        },
        "required": ["workflow"],
    }

    def read(self, draft: Draft, body: MappingNode, report: Report, read_steps: ReadSteps) -> None:
        name = read_text(body, "workflow", report)
        if body.get("workflow") is None:
            message = f"the step “{draft.name}” does not say which `workflow`"
            report.error(codes.INCOMPLETE, draft.node, message, "write `workflow: project.NAME`")
        node = body.get("payload")
        draft.uses = uses = list(draft.uses)
        payload: Any = {} if node is None else read_template(node, "payload", report, uses)
        timeout = read_duration(body, "timeout", report)
        draft.own = {"workflow": name or "", "payload": payload, "timeout": timeout}
        if name is not None:
            _note_call(name, body, report)

    def to_json(self, step: WorkflowStep, store: Callable[[Step], Json]) -> Json:
        payload = None if step.payload == {} else keep_order(step.payload)
        return {"workflow": step.workflow} | without_none(payload=payload, timeout=step.timeout)

    def from_json(self, data: Json, common: Json, load: Callable[[Json], Any]) -> WorkflowStep:
        payload = restore_order(data.get("payload", {}))
        return WorkflowStep(**common, workflow=data["workflow"], payload=payload, timeout=data.get("timeout"))

    def describe(self, step: WorkflowStep) -> Facts:
        yield "payload", shown_value(step.payload) if step.payload else None
        yield "timeout", shown_span(step.timeout)

    def mark(self, step: WorkflowStep, label: str) -> str:
        return f"workflow {step.workflow}"


def _note_call(name: str, body: MappingNode, report: Report) -> None:
    """Note the call in the report: it is checked when all files are read."""
    payload = body.get("payload")
    report.calls.append(
        Call(
            caller=report.workflow or "",
            child=name,
            node=body.entries["workflow"].value,
            payload=payload,
            is_constant=payload is None or not any(expressions_in(payload)),
            tell=report.error,
            hint_for=partial(bare_hint, report=report),
        )
    )
