"""The stored form of definitions, byte by byte: rows and hashes of earlier releases must stay what they are.

``stored.jsonl`` has one definition a line, written by the release that first had what is in it. Append to it; a
line that changes is a break of every stored version.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from django_director.definitions import as_json, content_hash, from_json

from .helpers import read_text
from .test_language import BY_FEATURE, EXAMPLE

EVERYTHING = """shop.EVERYTHING:
  tasks:
    - FETCH: {retry: 0, priority: 5, when: false, needs: []}
    - G: {type: group, needs: [FETCH], when: payload.go, trigger_rule: always, description: d, tasks: []}
    - M: {type: map, over: [1, {a: 2, b: 3}], max_parallel: 2, timeout: 1.5,
          tasks: [A: {continue_on_error: true}, B]}
    - EACH: {type: map, over: payload.items, task: A, queue: slow, with: {b: 1, a: 2}}
    - X: {workflow: shop.EMPTY, payload: [], timeout: 1h}
    - Y: {workflow: shop.EMPTY, payload: {b: 1, a: "${{ payload.a }}"}}
    - OK: {type: approval, on_timeout: skip, timeout: 90}
    - SURE: {type: approval, prompt: "Sure?", permission: shop.approve_order, when: payload.ask}
    - W: {type: wait, until: 2030-01-31T08:00:00}
    - V: {type: wait, for: 0}
    - U: {type: wait, for: "${{ payload.delay }}", trigger_rule: any_failed}
    - C: {type: chain, when: payload.c, tasks: [A, D: {type: group, tasks: [B, E: {type: wait, for: 1h}]}]}
    - R: {task: A, retry: {max: 3, delay: 10s, backoff: 2, max_delay: 1h, jitter: true, only: [A.b], never: [C]}}
  hooks: {always: [A, B], failure: PAGE}
  fail_fast: true
  concurrency: {limit: 2, key: payload.id, on_conflict: skip}
  queue: {default: q, customs: {W: qw}}
shop.EMPTY: {tasks: []}
"""
GOLDEN = Path(__file__).with_name("stored.jsonl")
LINES = GOLDEN.read_text().splitlines() if GOLDEN.exists() else []


def stored(folder: Path) -> list[str]:
    texts = (EXAMPLE, EVERYTHING, *BY_FEATURE.values())
    definitions = [definition for text in texts for definition in read_text(folder, text).definitions]
    return [json.dumps([content_hash(definition), as_json(definition)]) for definition in definitions]


def test_definitions_are_stored_as_they_were(tmp_path):
    assert stored(tmp_path) == LINES


@pytest.mark.parametrize("line", LINES, ids=[json.loads(line)[1]["name"] for line in LINES])
def test_what_is_stored_can_be_read(line):
    content, data = json.loads(line)
    definition = from_json(data)
    assert json.dumps([content_hash(definition), as_json(definition)]) == line
    assert content == content_hash(definition)
