"""The whole language as frozen values, whatever of it the engine can do."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from django_director.definitions import (
    ApprovalStep,
    Concurrency,
    Container,
    MapStep,
    Retry,
    TaskStep,
    WaitStep,
    WorkflowStep,
    as_json,
    check_tasks,
    content_hash,
    from_json,
    read,
)

from .helpers import codes, one, read_text

EXAMPLE = Path(__file__).with_name("example.yml").read_text()


def example(tmp_path):
    reading = read_text(tmp_path, EXAMPLE)
    assert [str(problem) for problem in reading.problems + reading.notes] == []
    return reading.definitions[0]


def steps(folder, *lines: str, **keys: str):
    text = "".join(f"    - {line}\n" for line in lines) + "".join(f"  {key}: {v}\n" for key, v in keys.items())
    return one(folder, f"shop.A:\n  tasks:\n{text}")


def test_the_example_of_the_language(tmp_path):
    order = example(tmp_path)
    usual = {"retry": Retry(max=2, delay=5), "timeout": 600, "queue": "orders"}
    assert order.tasks == (
        TaskStep(id="FETCH", task="FETCH", **usual),
        Container(
            id="CHECKS",
            kind="group",
            members=(
                TaskStep(id="STOCK", task="STOCK", **usual),
                Container(
                    id="FRAUD",
                    kind="chain",
                    members=tuple(TaskStep(id=name, task=name, **usual) for name in ("SCORE", "DECIDE")),
                ),
            ),
        ),
        TaskStep(
            id="PRICE",
            task="PRICE",
            retry=Retry(max=5, delay=10, backoff=2, max_delay=300, jitter=True, only=("requests.Timeout",)),
            timeout=120,
            queue="slow",
        ),
        MapStep(
            id="THUMBNAILS",
            over="tasks.FETCH.result.images",
            max_parallel=10,
            queue="orders",
            body=(
                TaskStep(id="THUMBNAILS", task="RESIZE", kwargs={"url": "${{ item.url }}", "width": 200}, **usual),
            ),
        ),
        TaskStep(
            id="NOTIFY_SALES",
            task="shop.tasks.notify",
            when="payload.amount > 1000",
            kwargs={"channel": "sales", "order": "${{ tasks.FETCH.result.id }}"},
            **usual,
        ),
        ApprovalStep(
            id="SIGN_OFF",
            needs=("CHECKS", "PRICE"),
            prompt="Ship this order?",
            permission="shop.approve_order",
            timeout=172_800,
            queue="orders",
        ),
        WorkflowStep(
            id="SHIP", workflow="logistics.SHIP", payload={"order": "${{ payload.order }}"}, queue="orders"
        ),
        WaitStep(id="COOL_DOWN", seconds=30, queue="orders"),
        TaskStep(id="CLEANUP", task="CLEANUP", trigger_rule="always", continue_on_error=True, **usual),
    )
    assert {outcome: [hook.task for hook in hooks] for outcome, hooks in order.hooks.items()} == {
        "success": ["MAIL_OK"],
        "failure": ["PAGE", "MAIL_KO"],
        "canceled": ["UNDO"],
        "always": ["METRICS"],
    }
    assert [hook.id for hook in order.hook_steps()] == [
        *("hooks.success", "hooks.failure", "hooks.failure-2", "hooks.canceled", "hooks.always"),
    ]
    assert all(hook.retry == usual["retry"] and hook.timeout == 600 for hook in order.hook_steps())
    assert (order.timeout, order.fail_fast, order.result) == (21_600, False, "tasks.SHIP.result")
    assert order.concurrency == Concurrency(limit=1, key="payload.order", on_conflict="queue")
    assert order.allowed_groups == ("sales",)
    assert [step.id for step in order.steps()][-3:] == ["THUMBNAILS", "NOTIFY_SALES", "CLEANUP"]


def test_the_stored_form_keeps_everything(tmp_path):
    text = """shop.A:
  tasks:
    - FETCH: {retry: 0, priority: 5, when: false, needs: []}
    - G: {type: group, needs: [FETCH], when: payload.go, trigger_rule: always, description: d, tasks: []}
    - M: {type: map, over: [1, {a: 2}], max_parallel: 2, tasks: [A: {continue_on_error: true}, B], timeout: 1.5}
    - X: {workflow: shop.B, payload: [], timeout: 1h}
    - OK: {type: approval, on_timeout: skip, timeout: 90}
    - W: {type: wait, until: 2030-01-31T08:00:00}
    - V: {type: wait, for: 0}
  hooks: {always: [A, B]}
  fail_fast: true
  concurrency: {}
  queue: q
shop.B: {tasks: []}
"""
    reading = read_text(tmp_path, text)
    assert reading.problems == ()
    definition = reading.definitions[0]
    again = from_json(json.loads(json.dumps(as_json(definition))))
    assert again == definition
    assert content_hash(again) == content_hash(definition)


def test_what_was_there_before_has_the_hash_it_had(tmp_path):
    definition = one(
        tmp_path,
        """shop.OLD:
  description: all that was there before
  tasks:
    - FETCH
    - G: {type: group, description: d, tasks: [A, A, C: {type: chain, tasks: [B, E: {type: group, tasks: []}]}]}
    - X: {task: shop.tasks.mail, queue: slow, description: é, with: {n: 1, f: 1.5, deep: [{a: null}]}}
  hooks: {success: OK, failure: {PAGE: {with: {level: 3}, queue: fast}}}
  queue: {default: q, customs: {A: qa}}
  schema: {type: object, properties: {n: {type: integer, default: 0}}}
""",
    )
    assert content_hash(definition) == "320659fe2313edcaec253955cebbff2f2c5830ea9de26ec96c06187411f7adce"


STEP = "shop.A:\n  tasks:\n    - FETCH: {%s}\n"
IN_GROUP = "shop.A:\n  tasks:\n    - G: {type: group, tasks: [A, B], %s}\n"
RUN = "shop.A:\n  tasks: [FETCH]\n  %s\n"
BY_FEATURE = {
    "step.needs": STEP % "needs: []",
    "step.when": STEP % "when: payload.go",
    "step.trigger_rule": STEP % "trigger_rule: always",
    "step.continue_on_error": STEP % "continue_on_error: true",
    "step.retry": STEP % "retry: 3",
    "step.timeout": STEP % "timeout: 10m",
    "step.priority": STEP % "priority: 3",
    "step.workflow": "shop.B: {tasks: []}\n" + STEP % "workflow: shop.B",
    "with.expression": STEP % 'with: {a: ["${{ payload.a }}"]}',
    "container.needs": IN_GROUP % "needs: []",
    "container.when": IN_GROUP % "when: payload.go",
    "container.trigger_rule": IN_GROUP % "trigger_rule: always",
    "type.map": STEP % "type: map, over: payload.urls, task: B",
    "type.approval": STEP % "type: approval",
    "type.wait": STEP % "type: wait, for: 5",
    "hooks.canceled": RUN % "hooks: {canceled: A}",
    "hooks.always": RUN % "hooks: {always: A}",
    "hooks.list": RUN % "hooks: {failure: [A, B]}",
    "workflow.defaults": RUN % "defaults: {retry: 3}",
    "workflow.timeout": RUN % "timeout: 6h",
    "workflow.concurrency": RUN % "concurrency: {limit: 1}",
    "workflow.fail_fast": RUN % "fail_fast: true",
    "workflow.result": RUN % "result: tasks.FETCH.result",
    "workflow.allowed_groups": RUN % "allowed_groups: [sales]",
}


@pytest.mark.parametrize("feature", BY_FEATURE)
def test_each_feature_is_read(tmp_path, feature):
    assert codes(read_text(tmp_path, BY_FEATURE[feature])) == []


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        *(("90", 90), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172_800)),
        *(("1d2h3m4s", 93_784), ("0.5s", 0.5), ("2.0", 2), ("1e3", None), ("1h 30m", None), ("30m1h", None)),
        *(
            ("h", None),
            ('"90"', None),
            ("-5", None),
            ("5w", None),
            ("68y", None),
            ("99999d", None),
            ("true", None),
        ),
        ("1e400", None),
    ],
)
def test_durations(tmp_path, written, seconds):
    reading = read_text(tmp_path, STEP % f"timeout: {written}")
    assert codes(reading) == ([] if seconds else ["D108"])
    (step,) = reading.definitions[0].tasks
    assert step.timeout == seconds
    assert type(step.timeout) is type(seconds)


@pytest.mark.parametrize(
    ("until", "kept"),
    [
        ("2030-01-31T08:00:00", '"2030-01-31T08:00:00"'),
        ('"2030-01-31 08:00:00+02:00"', '"2030-01-31 08:00:00+02:00"'),
        ("2030-01-31", '"2030-01-31"'),
        ("1893456000", 1_893_456_000),
        ("payload.at", "payload.at"),
        ('"${{ payload.at }}"', "${{ payload.at }}"),
        ("2030 - 1", "2030 - 1"),
    ],
)
def test_until(tmp_path, until, kept):
    (wait,) = steps(tmp_path, f"W: {{type: wait, until: {until}}}").tasks
    assert wait.until == kept


def test_values_that_stand_for_themselves(tmp_path):
    first, second = steps(
        tmp_path,
        "FETCH: {when: true}",
        'M: {type: map, over: [1, "a", {b: 2024-01-02}], task: FETCH, when: "payload.go"}',
    ).tasks
    assert (first.when, second.when, second.over) == (True, "payload.go", [1, "a", {"b": "2024-01-02"}])


def test_needs_and_what_comes_of_them(tmp_path):
    definition = steps(
        tmp_path,
        "FETCH",
        "G: {type: group, tasks: [A, B: {needs: FETCH}, C: {type: chain, tasks: [D, E: {needs: [A]}]}]}",
        "END: {task: T, needs: [E, G], when: tasks.E.result and tasks.D.result and tasks.C.result}",
        'LAST: {task: T, with: {a: "${{ tasks.END.result }} of ${{ tasks[\\"FETCH\\"].status }}"}}',
        "FREE: {task: T, needs: []}",
    )
    group = definition.tasks[1]
    assert group.members[1].needs == ("FETCH",)
    assert group.members[2].members[1].needs == ("A",)
    assert [step.needs for step in definition.tasks] == [None, None, ("E", "G"), None, ()]


def test_what_a_container_with_a_condition_is_judged_before(tmp_path):
    text = """shop.A:
  tasks:
    - FIRST
    - G: {type: group, %s tasks: [A: {needs: [], when: tasks.FIRST.result}, B]}
"""
    assert codes(read_text(tmp_path, text % "")) == ["D503"]
    assert codes(read_text(tmp_path, text % "when: payload.go,")) == []


def test_options_of_a_map_are_those_of_its_tasks(tmp_path):
    definition = steps(
        tmp_path,
        "M: {type: map, over: [1], retry: 3, timeout: 5, queue: slow, priority: 2, continue_on_error: true, "
        'with: {a: 1, b: "${{ item }}"}, tasks: [A, B: {retry: 0, timeout: 9, queue: fast, priority: 0, '
        "continue_on_error: false, with: {b: 2}}]}",
        defaults="{retry: 9, priority: 9, queue: other}",
    )
    (mapped,) = definition.tasks
    first, second = mapped.body
    assert (first.retry.max, first.timeout, first.queue, first.priority) == (3, 5, "slow", 2)
    assert (first.continue_on_error, first.kwargs) == (True, {"a": 1, "b": "${{ item }}"})
    assert (second.retry.max, second.timeout, second.queue, second.priority) == (0, 9, "fast", 0)
    assert (second.continue_on_error, second.kwargs) == (False, {"a": 1, "b": 2})
    assert mapped.queue is None


def test_where_a_queue_comes_from(tmp_path):
    definition = steps(
        tmp_path,
        "A: {queue: own}",
        "B",
        "X: {task: T}",
        "M: {type: map, over: [1], task: T}",
        "W: {type: wait, for: 5}",
        queue="{customs: {B: b, T: t, M: m}}",
        defaults="{queue: usual}",
        hooks="{always: [A, {PAGE: {task: T}}], failure: {P: {task: U}}}",
    )
    assert [step.queue for step in definition.tasks] == ["own", "b", "t", "m", None]
    assert definition.tasks[3].body[0].queue == "m"
    assert [hook.queue for hook in definition.hook_steps()] == ["usual", "usual", "t"]


def test_private_keys_are_left_alone_everywhere(tmp_path):
    definition = steps(
        tmp_path,
        "A: {x-note: 1, retry: {max: 1, x-why: b}}",
        "M: {type: map, over: [1], task: A, x-a: 1}",
        "OK: {type: approval, x-a: 1}",
        hooks="{x-a: 1}",
        defaults="{x-a: 1}",
        concurrency="{x-a: 1}",
    )
    assert definition.tasks[0].retry == Retry(max=1)


def test_a_child_may_stand_in_another_file(tmp_path):
    (tmp_path / "a.yml").write_text("shop.A: {tasks: [X: {workflow: shop.B}]}\n")
    (tmp_path / "b.yml").write_text("shop.B: {tasks: [A]}\n")
    paths = [tmp_path / "a.yml", tmp_path / "b.yml"]
    assert read(paths).problems == ()
    (tmp_path / "b.yml").write_text("shop.B: {tasks: [A]\n")
    # It may be in the file that can't be read.
    assert codes(read(paths)) == ["D004"]
    (tmp_path / "b.yml").write_text("shop.B: {tasks: [X: {workflow: shop.A}]}\n")
    assert codes(read(paths)) == ["D311"]


LARGE = {
    "a chain of uses": (
        "shop.A:\n  tasks:\n    - S0: {task: T}\n"
        + "".join(f"    - S{n}: {{task: T, when: tasks.S{n - 1}.result}}\n" for n in range(1, 20_000)),
        [],
    ),
    "uses of the first": (
        "shop.A:\n  tasks:\n    - S: {task: T}\n    - G:\n        type: group\n        tasks:\n"
        + '          - T: {with: {a: "${{ tasks.S.result }}"}}\n' * 15_000,
        [],
    ),
    "needs": (
        "shop.A:\n  tasks:\n    - S0: {task: T}\n"
        + "".join(f"    - S{n}: {{task: T, needs: [S{n - 1}, S{n // 2}]}}\n" for n in range(1, 20_000)),
        [],
    ),
    "unknown steps": (
        "shop.A:\n  tasks:\n" + "".join(f"    - S{n}: {{task: T, needs: [X{n}]}}\n" for n in range(15_000)),
        ["D208"] * 15_000,
    ),
    "a long cycle": (
        "shop.A:\n  tasks:\n    - S0: {task: T, needs: [S19999]}\n"
        + "".join(f"    - S{n}: {{task: T}}\n" for n in range(1, 20_000)),
        ["D211"],
    ),
    "waits of waits": (
        "shop.A:\n  tasks:\n"
        + "".join(f"    - W{n}: {{type: wait, for: 1, needs: [W{n + 1}]}}\n" for n in range(15_000))
        + "    - W15000: {task: T, needs: []}\n",
        [],
    ),
    "aliases of an expression": (
        "x-e: &e {task: T, when: '[" + ", ".join(["tasks.A.result"] * 500) + "]'}\n"
        "x-s: &s [" + ", ".join(f"S{n}: *e" for n in range(1_000)) + "]\n"
        "shop.A: {tasks: [A: {task: T}, "
        + ", ".join(f"G{n}: {{type: group, tasks: *s}}" for n in range(40))
        + "]}\n",
        ["D003"],
    ),
    "workflows of workflows": (
        "".join(f"a.W{n}: {{tasks: [X: {{workflow: a.W{n + 1}}}]}}\n" for n in range(12_000))
        + "a.W12000: {tasks: []}\n",
        [],
    ),
}


QUICK = {"needs", "a long cycle", "aliases of an expression", "workflows of workflows"}
"""Those that are tried each time: the others go the same ways."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(*given, id=name, marks=() if name in QUICK else pytest.mark.slow)
        for name, given in LARGE.items()
    ],
)
def test_large_files_of_the_whole_language(tmp_path, text, expected):
    assert len(text) < 1024 * 1024
    started = time.process_time()
    reading = read_text(tmp_path, text)
    problems = check_tasks(reading.definitions, lambda name: None, {"T"})
    assert time.process_time() - started < 8  # alone on a core: 3
    assert [code for code in codes(reading) if code != "D206"] == expected
    assert problems == []
