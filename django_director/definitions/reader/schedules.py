"""Reads `periodic:` and `retention:`."""

from __future__ import annotations

from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from django_director.common.json_values import JsonValue
from django_director.common.suggestions import did_you_mean
from django_director.definitions.definition import Retention, Schedule
from django_director.definitions.fields.expressions import note_text
from django_director.definitions.fields.plain_values import MAX_INT, parse_duration, read_flag, read_text
from django_director.definitions.payloads import Schema, errors_of
from django_director.definitions.source import codes, foreign_words
from django_director.definitions.source.misreadings import note_misread
from django_director.definitions.source.nodes import (
    ListNode,
    MappingNode,
    Node,
    ScalarNode,
    at,
    describe,
    plain,
    text_of,
)
from django_director.definitions.source.report import Report

from . import cron, intervals

TIMINGS: Final = ("interval", "crontab", "schedule")
KEYS: Final = (*TIMINGS, "payload", "timezone", "enabled")
CRONTAB_FIELDS: Final = 5
SHOWN: Final = 60
"""A hint repeats at most so many characters of a text."""

Timing = tuple[str, str]
"""The kind and the value of a ``Schedule``."""


def read_periodic(node: Node | None, schema: Schema | None, report: Report) -> tuple[Schedule, ...]:
    """Return the schedules of a workflow; their payloads are checked against ``schema`` unless it is ``None``."""
    if node is None:
        return ()
    entries = node.items if isinstance(node, ListNode) else [node]
    read = (_read_entry(entry, schema, report) for entry in entries)
    return tuple(schedule for schedule in read if schedule is not None)


def _read_entry(node: Node, schema: Schema | None, report: Report) -> Schedule | None:
    if not isinstance(node, MappingNode):
        message = f"`periodic` must be a mapping or a list of mappings, and is {describe(node)}"
        report.error(codes.VALUE, node, message, _timing_hint(text_of(node) or ""))
        return None
    node = report.check_keys(node, "in `periodic`", KEYS, foreign=foreign_words.OF_SCHEDULES)
    timing = _read_timing(node, report)
    timezone = _read_timezone(node, report)
    enabled = read_flag(node, "enabled", report)
    payload = _read_payload(node, schema, report)
    if timing is None:
        return None
    return Schedule(
        kind="interval" if timing[0] == "interval" else "crontab",
        value=timing[1],
        timezone=timezone,
        enabled=enabled is not False,
        payload=payload,
        place=report.place(node),
    )


def _timing_hint(text: str) -> str:
    """Return how to write what stands in place of a mapping."""
    crontab, interval = f'write `periodic: {{crontab: "{text}"}}`', f"write `periodic: {{interval: {text}}}`"
    if len(text.split()) == CRONTAB_FIELDS and len(text) <= SHOWN:
        return crontab
    if parse_duration(text) is not None:
        return interval
    return 'write `periodic: {crontab: "0 7 * * *"}` or `periodic: {interval: 10m}`'


def _read_timing(node: MappingNode, report: Report) -> Timing | None:
    given = [key for key in TIMINGS if node.get(key) is not None]
    if len(given) != 1:
        what = " and ".join(f"`{key}`" for key in given) or "no timing"
        message = f"`periodic` needs exactly one of `interval`, `crontab`, `schedule`, and has {what}"
        report.error(codes.TIMING, node, message, 'write `interval: 60` or `crontab: "0 7 * * *"`')
        return None
    value = node.entries[given[0]].value
    if given[0] == "crontab" or (given[0] == "schedule" and _seconds(value) is None):
        return _read_crontab(given[0], value, report)
    return _read_interval(given[0], value, report)


def _seconds(node: Node) -> float | None:
    """Return a number, also when it is written as text, which celery-director took."""
    if not isinstance(node, ScalarNode) or isinstance(node.value, bool | None):
        return None
    try:
        return float(node.value)
    except (ValueError, OverflowError):
        return None


def _read_interval(key: str, node: Node, report: Report) -> Timing | None:
    seconds = _seconds(node)
    if seconds is None:
        seconds = parse_duration(text_of(node) or "")
    try:
        return "interval", intervals.normalise(seconds)
    except intervals.IntervalError as error:
        report.error(codes.INTERVAL, node, f"`{key}` {error}", error.hint)
        return None


def _read_crontab(key: str, node: Node, report: Report) -> Timing | None:
    text = node.value if isinstance(node, ScalarNode) else None
    if not isinstance(text, str):
        message = f"`{key}` must be a cron expression in quotes, and is {describe(node)}"
        report.error(codes.CRONTAB, node, message, 'write `crontab: "0 7 * * *"`')
        return None
    try:
        return "crontab", cron.normalise(_from_legacy_order(text) if key == "schedule" else text)
    except cron.CrontabError as error:
        report.error(codes.CRONTAB, node, f"`{key}`: {error}", _order_hint(key))
        return None


def _from_legacy_order(legacy: str) -> str:
    """Change celery-director's old order, with the day of the week third, to cron's order."""
    parts = legacy.split()
    if len(parts) != 5:
        return legacy
    minute, hour, day_of_week, day_of_month, month = parts
    return " ".join([minute, hour, day_of_month, month, day_of_week])


def _order_hint(key: str) -> str:
    if key == "schedule":
        return "the order is: minute hour day_of_week day_of_month month_of_year; better use `crontab`"
    return "the order is: minute hour day_of_month month_of_year day_of_week"


def _read_timezone(node: MappingNode, report: Report) -> str | None:
    name = read_text(node, "timezone", report)
    if name is None or _is_zone(name):
        return name
    known = available_timezones()
    hint = did_you_mean(name, known) or "write a name as `Europe/Paris`"
    report.error(codes.TIMEZONE, node.get("timezone"), f"unknown time zone “{name}”", hint)
    return None


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _read_payload(node: MappingNode, schema: Schema | None, report: Report) -> JsonValue:
    given = node.get("payload")
    payload = {} if given is None else plain(given)
    if given is not None:
        note_text(given, "payload", report)
        note_misread(given, "payload", report)
    if schema is None:
        return payload
    for error in errors_of(schema, payload):
        place = node if given is None else at(given, error.keys)
        hint = "give `periodic` a `payload` that fits" if given is None else "correct the payload or the schema"
        message = f"the payload does not fit the schema: {error.path}: {error.message}"
        report.error(codes.SCHEDULE_PAYLOAD, place, message, hint)
    return payload


_OF_RETENTION: Final = {"keep": "write `offset: 50`", "count": "write `offset: 50`", "age": "write `days: 90`"}


def read_retention(node: Node | None, report: Report) -> Retention | None:
    """Return how long finished runs are kept; ``None`` when the file does not say."""
    if node is None:
        return None
    if not isinstance(node, MappingNode):
        message = f"`retention` must be a mapping, and is {describe(node)}"
        report.error(codes.VALUE, node, message, "write `retention: {offset: 50, days: 90}`")
        return None
    node = report.check_keys(node, "in `retention`", ("offset", "days"), foreign=_OF_RETENTION)
    offset = _read_number(node, "offset", -1, "-1 for no limit", report)
    days = _read_number(node, "days", 1, "leave it out for no limit", report)
    return None if offset is None and days is None else Retention(offset=offset, days=days)


def _read_number(node: MappingNode, key: str, lowest: int, hint: str, report: Report) -> int | None:
    given = node.get(key)
    if given is None:
        return None
    value = given.value if isinstance(given, ScalarNode) else None
    if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= MAX_INT:
        return value
    report.error(codes.RETENTION, given, f"`{key}` must be a whole number from {lowest} to {MAX_INT:,}", hint)
    return None
