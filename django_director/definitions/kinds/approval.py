"""`type: approval`: a step that waits for a person."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from django_director.definitions.definition import Seconds, Step
from django_director.definitions.fields.drafts import Draft, ReadSteps
from django_director.definitions.fields.options import COMMON_KEYS
from django_director.definitions.fields.plain_values import read_duration, read_text, read_word
from django_director.definitions.source import codes, foreign_words
from django_director.definitions.source.nodes import MappingNode
from django_director.definitions.source.report import Report
from django_director.definitions.wording import shortened, shown_span

from .kind import Facts, Kind

OnTimeout = Literal["reject", "approve", "skip"]
ON_TIMEOUT: Final[tuple[OnTimeout, ...]] = ("reject", "approve", "skip")

_PERMISSION: Final = re.compile(r"\w+\.\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalStep(Step):
    """A step that waits until a person approves or rejects it."""

    kind: ClassVar[str] = "approval"
    passes_on: ClassVar[bool] = True
    prompt: str = ""
    permission: str | None = None
    """Who decides needs this permission, ``app_label.codename``, in place of ``approve_task``."""
    timeout: Seconds | None = None
    on_timeout: OnTimeout = ON_TIMEOUT[0]


class Approval(Kind[ApprovalStep]):
    name = "approval"
    step = ApprovalStep
    keys = ("type", "prompt", "permission", "timeout", "on_timeout", *COMMON_KEYS)
    foreign_words = (
        foreign_words.words("""
write `prompt: Ship this order?`
    message question title text
write `permission: app_label.codename`, or `allowed_groups` of the workflow
    approvers users roles groups who assignee
write `on_timeout: reject`, `approve` or `skip`
    default default_action on_expire
""")
        | foreign_words.OF_STEPS
    )
    has_decision = True
    schema: ClassVar = {
        "properties": {
            "type": {"const": "approval"},
            "prompt": {"type": "string"},
            "permission": {"type": "string", "pattern": "^\\w+\\.\\w+$"},
            "timeout": {"$ref": "#/definitions/duration"},
            "on_timeout": {"enum": list(ON_TIMEOUT)},
        },
        "required": ["type"],
    }

    def read(self, draft: Draft, body: MappingNode, report: Report, read_steps: ReadSteps) -> None:
        on_timeout = read_word(body, "on_timeout", ON_TIMEOUT, report)
        draft.own = {
            "prompt": read_text(body, "prompt", report, is_long=True) or "",
            "permission": _read_permission(body, report),
            "timeout": read_duration(body, "timeout", report),
            "on_timeout": on_timeout or ON_TIMEOUT[0],
        }
        if on_timeout is not None and body.get("timeout") is None:
            message = f"the approval “{draft.name}” has `on_timeout` and no `timeout`, and waits without end"
            report.note(codes.NO_TIMEOUT, body.entries["on_timeout"].key, message, "write `timeout: 2d`")

    def describe(self, step: ApprovalStep) -> Facts:
        yield "prompt", shortened(step.prompt)
        yield "permission", step.permission
        yield "timeout", shown_span(step.timeout)
        is_told = step.timeout is not None or step.on_timeout != ON_TIMEOUT[0]
        yield "on_timeout", step.on_timeout if is_told else None


def _read_permission(body: MappingNode, report: Report) -> str | None:
    permission = read_text(body, "permission", report)
    if permission is not None and not _PERMISSION.fullmatch(permission):
        message = f"`permission`: “{permission}” is no permission"
        report.error(codes.VALUE, body.get("permission"), message, "write `app_label.codename`")
        return None
    return permission
