"""Reads what a workflow says of its runs as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django_director.common.json_values import JsonValue
from django_director.definitions.definition import ON_CONFLICT, Concurrency, Retry
from django_director.definitions.fields.drafts import Draft
from django_director.definitions.fields.expressions import Use, read_expression
from django_director.definitions.fields.options import RUNNING_KEYS, read_priority, read_retry
from django_director.definitions.fields.plain_values import (
    MAX_INT,
    read_duration,
    read_flag,
    read_names,
    read_text,
    read_whole,
    read_word,
)
from django_director.definitions.fields.scopes import AT_START, IN_STEP, check_use
from django_director.definitions.source import codes, foreign_words
from django_director.definitions.source.nodes import MappingNode, Node, describe
from django_director.definitions.source.report import Report

from .step_names import Names

CONCURRENCY_KEYS: Final = ("limit", "key", "on_conflict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """`defaults:`, which each Celery task takes that does not say otherwise."""

    retry: Retry | None = None
    timeout: int | float | None = None
    queue: str | None = None
    priority: int | None = None

    def fill(self, draft: Draft) -> None:
        """Give a Celery task the options that it does not have itself; its queue depends on more."""
        draft.retry = draft.retry or self.retry
        draft.timeout = self.timeout if draft.timeout is None else draft.timeout
        draft.priority = self.priority if draft.priority is None else draft.priority


def read_defaults(node: Node | None, report: Report) -> Defaults:
    if node is None:
        return Defaults()
    if not isinstance(node, MappingNode):
        message = f"`defaults` must be a mapping, and is {describe(node)}"
        report.error(codes.VALUE, node, message, "write `defaults: {retry: 2, timeout: 10m}`")
        return Defaults()
    node = report.check_keys(node, "in `defaults`", RUNNING_KEYS, foreign=foreign_words.OF_STEPS)
    return Defaults(
        retry=read_retry(node, report),
        timeout=read_duration(node, "timeout", report),
        queue=read_text(node, "queue", report),
        priority=read_priority(node, report),
    )


def read_policies(body: MappingNode, names: Names, report: Report) -> dict[str, Any]:
    """Return fields of ``Definition`` by name."""
    groups = read_names(body, "allowed_groups", report, hint="write `allowed_groups: [sales]`")
    if groups == []:
        hint = "name a group, or take it out: then permissions alone decide"
        report.error(codes.VALUE, body.get("allowed_groups"), "`allowed_groups` is empty", hint)
    return {
        "timeout": read_duration(body, "timeout", report),
        "fail_fast": read_flag(body, "fail_fast", report) or False,
        "concurrency": _read_concurrency(body.get("concurrency"), report),
        "result": _read_result(body, names, report),
        "allowed_groups": tuple(name for name, _ in groups or ()),
    }


def _read_concurrency(node: Node | None, report: Report) -> Concurrency | None:
    if node is None:
        return None
    if not isinstance(node, MappingNode):
        message = f"`concurrency` must be a mapping, and is {describe(node)}"
        report.error(codes.VALUE, node, message, "write `concurrency: {limit: 1}`")
        return None
    node = report.check_keys(node, "in `concurrency`", CONCURRENCY_KEYS, foreign=foreign_words.OF_CONCURRENCY)
    uses: list[Use] = []
    limit = read_whole(node, "limit", 1, MAX_INT, report)
    key = read_expression(node, "key", report.inside(known=AT_START), uses)
    on_conflict = read_word(node, "on_conflict", ON_CONFLICT, report)
    for use in uses:
        check_use(use, AT_START, report)
    return Concurrency(limit=limit or 1, key=key, on_conflict=on_conflict or ON_CONFLICT[0])


def _read_result(body: MappingNode, names: Names, report: Report) -> JsonValue:
    uses: list[Use] = []
    result = read_expression(body, "result", report, uses)
    for use in uses:
        if check_use(use, IN_STEP, report) and use.reference.root == "tasks":
            names.used(use, report)
    return result
