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
    hook_label,
    read_files,
)
from tests.speed import allowed

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
        *("hooks.success.MAIL_OK", "hooks.failure.PAGE", "hooks.failure.MAIL_KO"),
        *("hooks.canceled.UNDO", "hooks.always.METRICS"),
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
    assert content_hash(definition) == "b4e42fb7f521543bf622b83c7a2d072bc28cd653b22cefb70b879135ff64db7c"


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


#: By kind: a step of it, and the options that it takes besides. `%s` is where one more stands.
COMMON = {"needs", "when", "trigger_rule", "description"}
OF_TASKS = COMMON | {"continue_on_error", "retry", "timeout", "queue", "priority", "with"}
KINDS = {
    "task": ("T: {%s}", OF_TASKS | {"task"}),
    "task with an id": ("A: {task: T, %s}", OF_TASKS),
    "group": ("A: {type: group, tasks: [T, T], %s}", COMMON | {"batch"}),
    "chain": ("A: {type: chain, tasks: [T, T], %s}", COMMON),
    "map": ("A: {type: map, over: [1], task: T, %s}", OF_TASKS | {"max_parallel", "batch"}),
    "map of a chain": ("A: {type: map, over: [1], tasks: [T, T], %s}", OF_TASKS | {"max_parallel"}),
    "workflow": ("A: {workflow: shop.B, %s}", COMMON | {"payload", "timeout"}),
    "approval": ("A: {type: approval, %s}", COMMON | {"prompt", "permission", "timeout", "on_timeout"}),
    "wait": ("A: {type: wait, for: 1, %s}", COMMON),
    "in a map": ("A: {type: map, over: [1], tasks: [T: {%s}]}", OF_TASKS - {"needs"} | {"task"}),
    "hook": ("T\n  hooks: {always: {T: {%s}}}", OF_TASKS - {"needs"} | {"task"}),
}
WRITTEN = (
    *("task: T", "needs: []", "when: true", "trigger_rule: always", "description: d", "continue_on_error: true"),
    *(
        "retry: 1",
        "timeout: 5",
        "queue: q",
        "priority: 1",
        "with: {a: 1}",
        "over: [1]",
        "max_parallel: 1",
        "batch: 2",
    ),
    *(
        "payload: {}",
        "prompt: p",
        "permission: a.b",
        "on_timeout: skip",
        "for: 5",
        "until: 5",
        "limit: 1",
        "x-a: 1",
    ),
)
OWN = {"map": {"over", "task"}, "map of a chain": {"over"}, "wait": {"for", "until"}, "task with an id": {"task"}}
OWNERS = {
    **dict.fromkeys(("over", "max_parallel"), "type: map"),
    **dict.fromkeys(("prompt", "permission", "on_timeout"), "type: approval"),
    **dict.fromkeys(("for", "until"), "type: wait"),
    "payload": "workflow:",
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_step_takes_its_options_and_no_others(tmp_path, kind):
    text, taken = KINDS[kind]
    for written in WRITTEN:
        key = written.partition(":")[0]
        if key in OWN.get(kind, ()):
            continue
        found = read_text(tmp_path, f"shop.B: {{tasks: [T]}}\nshop.A:\n  tasks:\n    - {text % written}\n")
        if key in taken or key == "x-a":
            assert codes(found) == [], key
        elif key == "needs":
            assert codes(found) == ["D210"]
        elif key == "batch" and kind in ("chain", "map of a chain"):
            assert codes(found) == ["D214"]
        elif key == "task" and kind == "map of a chain":
            assert codes(found) == ["D213"]
        else:
            (problem,) = found.problems
            assert problem.code == "D105", key
            assert problem.hint
            if taken >= OF_TASKS - {"needs"} and key in OWNERS:
                assert problem.hint == f"`{key}` belongs to a step with `{OWNERS[key]}`"
            elif key == "batch":
                assert "`type: map` or `type: group`" in problem.hint


@pytest.mark.parametrize(
    ("written", "near"),
    [
        *(
            ("need: []", "needs"),
            ("xyz: true", None),
            ("wen: true", "when"),
            ("triger_rule: always", "trigger_rule"),
        ),
        *(("continue_on_errors: true", "continue_on_error"), ("retri: 3", "retry"), ("time_out: 5", "timeout")),
        *(("Queue: q", "queue"), ("prio: 3", "priority"), ("tasc: T", "task")),
    ],
)
def test_an_unknown_key_has_the_nearest_known_one_as_its_hint(tmp_path, written, near):
    (problem,) = read_text(tmp_path, STEP % written).problems
    assert problem.code == "D105"
    assert problem.hint == f"did you mean `{near}`?" if near else problem.hint.startswith("known: `task`, ")


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
    assert read_files(paths).problems == ()
    (tmp_path / "b.yml").write_text("shop.B: {tasks: [A]\n")
    # It may be in the file that can't be read.
    assert codes(read_files(paths)) == ["D004"]
    (tmp_path / "b.yml").write_text("shop.B: {tasks: [X: {workflow: shop.A}]}\n")
    assert codes(read_files(paths)) == ["D311"]


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
    assert time.process_time() - started < allowed(8)  # alone on a core: 3
    assert [code for code in codes(reading) if code != "D206"] == expected
    assert problems == []


# Ids


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ("T, T, T", "T T-2 T-3"),
        # What is taken is skipped, wherever it stands.
        ("T, T, T-2: {task: T}", "T T-3 T-2"),
        ("T-3: {task: T}, T, T, T", "T-3 T T-2 T-4"),
        ("T: {task: U}, T, T", "T T-2 T-3"),
        ("T, U: {task: T}, T", "T U T-2"),
        ("T: {queue: q}, T: {}, T: null", "T T-2 T-3"),
        # Explicit ids first, then groups, then bare names.
        ("G, G: {type: group, tasks: []}, G: {type: group, tasks: []}", "G-3 G G-2"),
        ("G: {type: group, tasks: []}, G: {type: group, tasks: []}, G-2: {task: T}", "G G-3 G-2"),
        ("a.b.c, a.b.c, my task, 7up", "a.b.c a.b.c-2 my task 7up"),
        # Of a map's body too; the only step of `task:` has the map's.
        ("T, M: {type: map, over: [1], tasks: [T, T]}, N: {type: map, over: [1], task: T}", "T M T-2 T-3 N"),
        ("hooks.failure.T", "hooks.failure.T-2"),
    ],
)
def test_ids(tmp_path, entries, expected):
    definition = one(tmp_path, f"shop.A: {{tasks: [{entries}], hooks: {{failure: T}}}}\n")
    found = [
        step.id
        for entry in definition.entries()
        for step in (entry, *(entry.body if isinstance(entry, MapStep) and entry.id != entry.body[0].id else ()))
    ]
    assert " ".join(found) == expected


@pytest.mark.parametrize("id", ["A", "_", "a-b_C-9", "Z" * 200])
@pytest.mark.parametrize("body", ["task: T", "type: group, tasks: []", "type: wait, for: 1", "type: approval"])
def test_what_can_be_an_explicit_id(tmp_path, id, body):
    assert steps(tmp_path, f"{id}: {{{body}}}").tasks[0].id == id


EXPLICIT = {
    "task": "%s: {task: T}",
    "group": "%s: {type: group, tasks: []}",
    "chain": "%s: {type: chain, tasks: []}",
    "map": "%s: {type: map, over: [1], task: T}",
    "workflow": "%s: {workflow: shop.B}",
    "approval": "%s: {type: approval}",
    "wait": "%s: {type: wait, for: 1}",
}


@pytest.mark.parametrize("kind", EXPLICIT)
@pytest.mark.parametrize("id", ["9A", "-A", "a.b", "a b", "\u00e9", "A/B"])
def test_what_can_not_be_an_explicit_id(tmp_path, kind, id):
    text = f"shop.B: {{tasks: [T]}}\nshop.A: {{tasks: [{EXPLICIT[kind] % id}]}}\n"
    assert codes(read_text(tmp_path, text)) == ["D205"]


@pytest.mark.parametrize("first", EXPLICIT)
@pytest.mark.parametrize("second", EXPLICIT)
def test_an_explicit_id_stands_once(tmp_path, first, second):
    both = f"{EXPLICIT[first] % 'A'}, {EXPLICIT[second] % 'A'}"
    found = codes(read_text(tmp_path, f"shop.B: {{tasks: [T]}}\nshop.A: {{tasks: [{both}]}}\n"))
    assert found == ([] if first == second == "group" else ["D206"])


@pytest.mark.parametrize(
    ("key", "value"), [("needs", "T"), ("needs", "[T]"), ("when", "tasks.T.result"), ("when", "tasks.T.status")]
)
def test_a_name_that_stands_for_several_steps_lists_them(tmp_path, key, value):
    text = "shop.A: {tasks: [T, T: {queue: q}, G: {type: group, tasks: [T]}, E: {task: U, %s}]}\n"
    (problem,) = read_text(tmp_path, text % f"{key}: {value}").problems
    assert problem.code == "D209"
    assert "“T”, “T-2”, “T-3”" in problem.message
    # The others have names of their own all the same.
    named = text % "needs: [T-2], when: 'tasks[\"T-2\"].result'"
    assert codes(read_text(tmp_path, named)) == []


# Order


@pytest.mark.parametrize("needs", ["A", "[A]", "[A, G, M, C]", "[]", "[B]"])
def test_what_can_be_needed(tmp_path, needs):
    definition = steps(
        tmp_path,
        "A",
        "G: {type: group, tasks: [B, C: {type: chain, tasks: [D]}]}",
        "M: {type: map, over: [1], task: T}",
        f"Z: {{task: T, needs: {needs}}}",
    )
    assert definition.tasks[-1].needs == tuple(name for name in needs.strip("[]").split(", ") if name)


@pytest.mark.parametrize("kind", EXPLICIT)
def test_every_kind_of_step_can_need_and_be_needed(tmp_path, kind):
    body = (EXPLICIT[kind] % "X").replace("{", "{needs: [Z], ", 1)
    text = "shop.B: {tasks: [T]}\nshop.A: {tasks: [A: {task: T, needs: [X]}, %s, Z: {task: T, needs: []}]}\n"
    reading = read_text(tmp_path, text % body)
    assert codes(reading) == []
    assert reading.definitions[1].tasks[1].needs == ("Z",)


# Where expressions stand


@pytest.mark.parametrize("value", ["payload.a", '"${{ payload.a }}"', "true", "false", "5", "0", "1.5", "[1, a]"])
@pytest.mark.parametrize("key", ["when", "over", "result", "concurrency.key"])
def test_an_expression_stands_with_or_without_its_frame_and_values_for_themselves(tmp_path, key, value):
    expected = json.loads(value.replace("a]", '"a"]')) if value[0] in "tf501[" else value.strip('"')
    if key == "when":
        assert steps(tmp_path, f"A: {{when: {value}}}").tasks[0].when == expected
    elif key == "result":
        assert steps(tmp_path, "A", result=value).result == expected
    elif key == "concurrency.key":
        assert steps(tmp_path, "A", concurrency=f"{{key: {value}}}").concurrency.key == expected
    elif value[0] in "tf501":
        # Known to be no list.
        assert codes(read_text(tmp_path, f"shop.A: {{tasks: [M: {{type: map, over: {value}, task: T}}]}}\n")) == [
            "D107"
        ]
    else:
        assert steps(tmp_path, f"M: {{type: map, over: {value}, task: T}}").tasks[0].over == expected


@pytest.mark.parametrize("key", ["timeout", "retry: {max: 1, delay", "for"])
def test_minutes_and_seconds_as_on_a_clock_are_an_error(tmp_path, key):
    step = f"type: wait, {key}: 1:30" if key == "for" else f"{key}: 1:30" + "}" * key.count("{")
    (misread,) = read_text(tmp_path, STEP % step).problems
    assert (misread.code, misread.message) == ("D008", "YAML reads 1:30 as the number 90")
    assert "1h30m" in misread.hint


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "Yes", "OFF", "true", "null", "~", "12", "1.5"])
@pytest.mark.parametrize("place", ["a key", "an option", "a step", "a step with options"])
def test_a_word_that_yaml_reads_as_something_else_is_an_error_as_a_name(tmp_path, word, place):
    text = {
        "a key": f"shop.A: {{tasks: [T], {word}: 1}}\n",
        "an option": f"shop.A: {{tasks: [T: {{with: {{{word}: 1}}}}]}}\n",
        "a step": f"shop.A: {{tasks: [T, {word}]}}\n",
        "a step with options": f"shop.A: {{tasks: [{word}: {{queue: q}}]}}\n",
    }[place]
    problem = read_text(tmp_path, text).problems[0]
    if place == "a step" and word in ("null", "~"):
        assert problem.code == "D201"
    else:
        schedule = "a schedule is written as `periodic: {interval: 10m}`"
        hint = schedule if (place, word) == ("a key", "on") else f'put it in quotes: "{word}"'
        assert (problem.code, problem.hint) == ("D009", hint)


@pytest.mark.parametrize("value", ["0777", "1:30", "1:30:15", ".nan", ".inf", "-.inf", ".NaN", "1:30.5"])
def test_numbers_that_are_others_than_they_seem_are_errors(tmp_path, value):
    (problem,) = read_text(tmp_path, STEP % f"with: {{a: {value}}}").problems
    assert problem.code == "D008"
    assert problem.hint.startswith(f'put it in quotes: "{value}"')


@pytest.mark.parametrize("value", ["2024-01-02", "2024-01-02T03:04:05Z", "2024-01-02 03:04:05"])
def test_dates_stay_the_text_as_written(tmp_path, value):
    assert steps(tmp_path, f"A: {{with: {{at: {value}}}}}").tasks[0].kwargs == {"at": value}


# Defaults


@pytest.mark.parametrize(
    ("key", "value", "own"),
    [("retry", "{max: 2, delay: 5}", "7"), ("timeout", "5", "6"), ("queue", "d", "e"), ("priority", "4", "0")],
)
def test_defaults_apply_to_celery_tasks_only_and_where_they_say_nothing(tmp_path, key, value, own):
    text = f"""shop.B: {{tasks: [T]}}
shop.A:
  tasks:
    - T
    - OWN: {{task: T, {key}: {own}}}
    - G: {{type: group, when: true, tasks: [IN: {{task: T}}]}}
    - M: {{type: map, over: [1], tasks: [U]}}
    - X: {{workflow: shop.B}}
    - OK: {{type: approval}}
    - W: {{type: wait, for: 1}}
  hooks: {{always: T}}
  defaults: {{{key}: {value}}}
"""
    reading = read_text(tmp_path, text)
    assert codes(reading) == []
    definition = reading.definitions[1]
    (group, mapped, *others) = definition.tasks[2:]
    tasks = [definition.tasks[0], *group.members, *mapped.body, *definition.hook_steps()]
    expected = {"retry": Retry(max=2, delay=5), "timeout": 5, "queue": "d", "priority": 4}[key]
    assert [getattr(task, key) for task in tasks] == [expected] * 4
    assert getattr(definition.tasks[1], key) not in (expected, None)
    assert [getattr(step, key, None) for step in (group, mapped, *others)] == [None] * 5


# Names of workflows


@pytest.mark.parametrize("name", ["a.B", "A-1_x.9", "-._", "0.0x"])
def test_names_of_workflows(tmp_path, name):
    assert one(tmp_path, f"{name}: {{tasks: [T]}}\n").name == name


@pytest.mark.parametrize("name", ["a", "a.", "a.b.c", "a..b", "\u00e9.B", "a b.C", "a.B/", "a:b.C", "a.B!"])
def test_what_is_no_name_of_a_workflow(tmp_path, name):
    assert codes(read_text(tmp_path, f'"{name}": {{tasks: [T]}}\n')) == ["D101"]


@pytest.mark.parametrize(
    ("hooks", "expected"),
    [
        ("{failure: PAGE}", {"hooks.failure.PAGE": "PAGE"}),
        ("{failure: shop.tasks.page}", {"hooks.failure.shop.tasks.page": "shop.tasks.page"}),
        ("{failure: {CALL: {task: PAGE}}}", {"hooks.failure.CALL": "CALL"}),
        (
            "{failure: [PAGE, PAGE, CALL: {task: PAGE}, CALL: {task: PAGE}], always: PAGE}",
            {
                "hooks.failure.PAGE": "PAGE",
                "hooks.failure.PAGE-2": "PAGE-2",
                "hooks.failure.CALL": "CALL",
                "hooks.failure.CALL-2": "CALL-2",
                "hooks.always.PAGE": "PAGE",
            },
        ),
    ],
)
def test_a_hook_keeps_the_id_that_was_written(tmp_path, hooks, expected):
    definition = one(tmp_path, f"shop.A: {{tasks: [PAGE], hooks: {hooks}}}\n")
    assert {hook.id: hook_label(hook.id) for hook in definition.hook_steps()} == expected
    assert definition.tasks[0].id == "PAGE"


def test_an_id_of_a_hook_fits_the_database(tmp_path):
    long = "a" * 190
    (problem,) = read_text(tmp_path, f"shop.A: {{tasks: [T], hooks: {{failure: {long}}}}}\n").problems
    assert (problem.code, problem.place.line) == ("D207", 1)
    assert problem.hint == "give it a shorter one: `ID: {task: …}`"
