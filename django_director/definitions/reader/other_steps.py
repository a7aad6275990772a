"""Steps that are no Celery task: child workflows, approvals, waits."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final

from django_director.definitions.model import ON_TIMEOUT
from django_director.definitions.source import codes, foreign_words
from django_director.definitions.source.calls import Call
from django_director.definitions.source.nodes import MappingNode, ScalarNode, describe, text_of
from django_director.definitions.source.report import Report

from .drafts import Draft
from .expressions import Use, bare_hint, expressions_in, read_template, read_until
from .options import COMMON_KEYS, ELSEWHERE, read_common
from .values import read_duration, read_text, read_word

CHILD_KEYS: Final = ("workflow", "payload", "timeout", *COMMON_KEYS)
APPROVAL_KEYS: Final = ("type", "prompt", "permission", "timeout", "on_timeout", *COMMON_KEYS)
WAIT_KEYS: Final = ("type", "for", "until", *COMMON_KEYS)

_PERMISSION: Final = re.compile(r"\w+\.\w+")


def read_child(draft: Draft, body: MappingNode, report: Report) -> None:
    """`workflow:`; the call is noted in the report, to be checked when all files are read."""
    body = report.check_keys(
        body, f"in the step “{draft.name}”", CHILD_KEYS, ELSEWHERE, foreign=foreign_words.OF_CHILDREN
    )
    read_common(draft, body, report)
    name = read_text(body, "workflow", report)
    if body.get("workflow") is None:
        message = f"the step “{draft.name}” does not say which `workflow`"
        report.error(codes.INCOMPLETE, draft.node, message, "write `workflow: project.NAME`")
    node = body.get("payload")
    draft.uses = uses = list(draft.uses)
    payload: Any = {} if node is None else read_template(node, "payload", report, uses)
    draft.own = {"workflow": name or "", "payload": payload, "timeout": read_duration(body, "timeout", report)}
    if name is not None:
        is_constant = node is None or not any(expressions_in(node))
        key = body.entries["workflow"].value
        report.calls.append(
            Call(
                caller=report.workflow or "",
                child=name,
                node=key,
                payload=node,
                is_constant=is_constant,
                tell=report.error,
                hint_for=partial(bare_hint, report=report),
            )
        )


def read_approval(draft: Draft, body: MappingNode, report: Report) -> None:
    """`type: approval`."""
    body = report.check_keys(
        body,
        f"in the approval “{draft.name}”",
        APPROVAL_KEYS,
        ELSEWHERE,
        foreign=foreign_words.OF_APPROVALS | foreign_words.OF_STEPS,
    )
    read_common(draft, body, report)
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


def _read_permission(body: MappingNode, report: Report) -> str | None:
    permission = read_text(body, "permission", report)
    if permission is not None and not _PERMISSION.fullmatch(permission):
        message = f"`permission`: “{permission}” is no permission"
        report.error(codes.VALUE, body.get("permission"), message, "write `app_label.codename`")
        return None
    return permission


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


def read_wait(draft: Draft, body: MappingNode, report: Report) -> None:
    """`type: wait`."""
    body = report.check_keys(
        body,
        f"in the wait “{draft.name}”",
        WAIT_KEYS,
        ELSEWHERE,
        foreign=foreign_words.OF_WAITS | foreign_words.OF_STEPS,
    )
    read_common(draft, body, report)
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
