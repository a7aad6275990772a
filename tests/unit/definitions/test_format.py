"""What a valid file means: celery-director's format, and what this release adds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_director.definitions import (
    Container,
    Retention,
    TaskStep,
    as_json,
    content_hash,
    from_json,
    read_files,
    workflow_files,
)

from .helpers import codes, one, read_text


def ids(steps):
    return [(s.id, s.task) if isinstance(s, TaskStep) else (s.id, ids(s.members)) for s in steps]


def test_celery_directors_own_example(tmp_path):
    reading = read_text(
        tmp_path,
        """---
# Simple ETL example
example.ETL:
  tasks:
    - EXTRACT
    - TRANSFORM
    - LOAD

# Group of tasks example
example.RANDOMS:
  tasks:
    - GROUP_RANDOMS:
        type: group
        tasks:
          - RANDOM
          - RANDOM
    - ADD
  hooks:
    failure: PAGE
    success: MAIL
  queue:
    default: q1
    customs:
      ADD: q2
      MAIL: mails
  periodic:
    schedule: "0 */3 1 * *"
    payload: {"user": False}
  retention:
    offset: 10
example.QUEUE: {tasks: [A], queue: q1, periodic: {interval: 60}}
""",
    )
    assert reading.problems == reading.notes == ()
    etl, randoms, queue = reading.definitions
    assert ids(etl.tasks) == [("EXTRACT", "EXTRACT"), ("TRANSFORM", "TRANSFORM"), ("LOAD", "LOAD")]
    assert ids(randoms.tasks) == [
        ("GROUP_RANDOMS", [("RANDOM", "RANDOM"), ("RANDOM-2", "RANDOM")]),
        ("ADD", "ADD"),
    ]
    assert [step.queue for step in randoms.steps()] == ["q1", "q1", "q2"]
    assert {k: (h.id, h.task, h.queue) for k, (h,) in randoms.hooks.items()} == {
        "success": ("hooks.success.MAIL", "MAIL", "mails"),
        "failure": ("hooks.failure.PAGE", "PAGE", "q1"),
    }
    (schedule,) = randoms.schedules
    assert (schedule.kind, schedule.value, schedule.payload) == ("crontab", "0 */3 * * 1", {"user": False})
    assert randoms.retention == Retention(offset=10)
    assert (queue.tasks[0].queue, queue.schedules[0].value) == ("q1", "60")
    assert etl.source == "example.ETL:\n  tasks:\n    - EXTRACT\n    - TRANSFORM\n    - LOAD\n"
    assert (etl.place.line, randoms.place.line) == (3, 10)


def test_ids_explicit_first_then_groups_then_bare_names(tmp_path):
    definition = one(
        tmp_path,
        """shop.A:
  tasks:
    - FETCH
    - G: {type: group, tasks: [FETCH, FETCH]}
    - G: {type: group, tasks: [G, G]}
    - FETCH: {queue: slow}
    - FETCH-2: {task: STORE}
    - shop.tasks.notify
    - shop.tasks.notify
""",
    )
    assert ids(definition.tasks) == [
        ("FETCH", "FETCH"),
        ("G", [("FETCH-3", "FETCH"), ("FETCH-4", "FETCH")]),
        ("G-2", [("G-3", "G"), ("G-4", "G")]),
        ("FETCH-5", "FETCH"),
        ("FETCH-2", "STORE"),
        ("shop.tasks.notify", "shop.tasks.notify"),
        ("shop.tasks.notify-2", "shop.tasks.notify"),
    ]


def test_a_chain_may_not_repeat_an_id(tmp_path):
    text = "shop.A: {tasks: [C: {type: chain, tasks: []}, C: {type: chain, tasks: []}]}\n"
    assert codes(read_text(tmp_path, text)) == ["D206"]


def test_nesting_and_options(tmp_path):
    definition = one(
        tmp_path,
        """shop.A:
  description: |
    Two
    lines
  x-owner: sales
  tasks:
    - G:
        type: group
        description: outer
        tasks:
          - C: {type: chain, tasks: [SCORE, G2: {type: group, tasks: [A, B]}]}
          - NOTIFY: {task: mail, queue: slow, description: d, with: {n: 1, when: 2024-01-02, deep: [{a: null}]}}
  queue: {default: q, customs: {A: qa, NOTIFY: never}}
  hooks: {failure: {PAGE: {with: {level: 3}, queue: fast}}}
""",
    )
    (group,) = definition.tasks
    assert isinstance(group, Container)
    assert ids(group.members) == [
        ("C", [("SCORE", "SCORE"), ("G2", [("A", "A"), ("B", "B")])]),
        ("NOTIFY", "mail"),
    ]
    notify = group.members[1]
    assert notify.kwargs == {"n": 1, "when": "2024-01-02", "deep": [{"a": None}]}
    assert [step.queue for step in definition.steps()] == ["q", "qa", "q", "slow"]
    (failure,) = definition.hooks["failure"]
    assert (failure.task, failure.kwargs, failure.queue) == ("PAGE", {"level": 3}, "fast")
    assert definition.description == "Two\nlines\n"


def test_queue_customs_by_id_before_task_name(tmp_path):
    definition = one(tmp_path, "shop.A: {tasks: [X: {task: T}, T], queue: {customs: {T: by_task, X: by_id}}}\n")
    assert [step.queue for step in definition.steps()] == ["by_id", "by_task"]


def test_anchors_aliases_merge_keys_and_private_keys(tmp_path):
    reading = read_text(
        tmp_path,
        """x-common: &common {queue: slow, retention: {offset: 1}}
.steps: &steps [A, B]
x-anything: [1, {not: a workflow}]
shop.A: {<<: *common, tasks: *steps}
shop.B: {<<: [*common, {queue: other, description: d}], tasks: *steps, retention: {days: 2}}
""",
    )
    assert reading.problems == ()
    a, b = reading.definitions
    assert (a.tasks[0].queue, a.retention) == ("slow", Retention(offset=1))
    assert (b.tasks[0].queue, b.retention, b.description) == ("slow", Retention(days=2), "d")


@pytest.mark.parametrize(
    "text", ["", "---\n", "# nothing\n", "\ufeffshop.A: {tasks: [A]}\n", "shop.A:\r\n  tasks: [A]\r\n"]
)
def test_files_without_problems(tmp_path, text):
    assert read_text(tmp_path, text).problems == ()


@pytest.mark.parametrize(
    ("periodic", "expected"),
    [
        ("{interval: 1.5}", [("interval", "1.5", None, True)]),
        ('{interval: "90"}', [("interval", "90", None, True)]),
        ("{schedule: 3600}", [("interval", "3600", None, True)]),
        (
            '{crontab: "0  7 * jan-mar mon-fri", timezone: Europe/Paris}',
            [("crontab", "0 7 * jan-mar mon-fri", "Europe/Paris", True)],
        ),
        ('{schedule: "0 7 mon-fri * *", enabled: no}', [("crontab", "0 7 * * mon-fri", None, False)]),
        ("[{interval: 1}, {interval: 2}]", [("interval", "1", None, True), ("interval", "2", None, True)]),
    ],
)
def test_periodic(tmp_path, periodic, expected):
    definition = one(tmp_path, f"shop.A:\n  tasks: [A]\n  periodic: {periodic}\n")
    assert [(s.kind, s.value, s.timezone, s.enabled) for s in definition.schedules] == expected


def test_schema_files(tmp_path):
    (tmp_path / "schemas" / "orders").mkdir(parents=True)
    (tmp_path / "schemas" / "orders" / "one.json").write_text('{"type": "object", "required": ["id"]}')
    text = "shop.A: {tasks: [A], schema: orders/one, periodic: {interval: 5}}\n"
    reading = read_text(tmp_path, text)
    assert [problem.code for problem in reading.problems] == ["D305"]
    assert '"id" is a required property' in reading.problems[0].message
    (tmp_path / "schemas" / "orders" / "one.json").write_text('{"type": ')
    assert "is not JSON: line 1" in read_text(tmp_path, text).problems[0].message
    (tmp_path / "schemas" / "orders" / "one.json").write_text("[" * 100_000)
    assert codes(read_text(tmp_path, text)) == ["D307"]


def test_content_hash_is_of_the_meaning(tmp_path):
    first = one(tmp_path, "shop.A: {tasks: [A, B], queue: q}\n")
    same = one(
        tmp_path, "# moved\n\nshop.A:\n  queue: {default: q}\n  tasks:\n  - A\n  - B\n  periodic: {interval: 3}\n"
    )
    other = one(tmp_path, "shop.A: {tasks: [B, A], queue: q}\n")
    assert content_hash(first) == content_hash(same) != content_hash(other)
    assert content_hash(from_json(as_json(first))) == content_hash(first)


def test_workflow_files(tmp_path):
    app, base, folder = tmp_path / "app", tmp_path / "base", tmp_path / "base" / "flows"
    for directory in (app, folder):
        directory.mkdir(parents=True)
    for path in (
        app / "workflows.yml",
        base / "workflows.yml",
        folder / "b.yaml",
        folder / "a.yml",
        folder / "c.txt",
    ):
        path.write_text("")
    (folder / "link.yml").symlink_to(app / "workflows.yml")
    assert workflow_files(None, base, [app, tmp_path]) == [base / "workflows.yml", app / "workflows.yml"]
    assert workflow_files(None, tmp_path, [app]) == [app / "workflows.yml"]
    assert workflow_files(["flows", base / "none.yml"], base, [app]) == [
        *(folder / name for name in ("a.yml", "b.yaml", "link.yml")),
        base / "none.yml",
    ]


@given(st.text(max_size=200) | st.text(alphabet="-: \n[]{}&*!'\"#ab.x<|>%?@`,1", max_size=200))
def test_nothing_in_a_file_raises(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    read_files([path])


def test_databases_that_sort_keys_change_no_order(tmp_path):
    """PostgreSQL and MySQL sort the keys of JSON: run forms and arguments came shuffled."""
    text = """shop.A:
  tasks:
    - A: {with: {zebra: 1, ape: {y: 1, b: 2}, bee: 3}}
    - M: {type: map, over: [{z: 1, a: 2}], task: A, with: {zz: 1, b: 2}}
    - C: {workflow: shop.B, payload: {zebra: 1, ape: 2}}
  schema: {type: object, properties: {zip: {}, street: {}, a: {}}, required: [zip]}
shop.B: {tasks: []}
"""
    first, _ = read_text(tmp_path, text).definitions
    stored = json.loads(json.dumps(as_json(first), sort_keys=True))
    again = from_json(stored)
    assert repr(again.tasks) == repr(from_json(as_json(first)).tasks)
    assert list(again.schema["properties"]) == ["zip", "street", "a"]
    task, mapped, child = again.tasks
    assert (list(task.kwargs), list(task.kwargs["ape"])) == (["zebra", "ape", "bee"], ["y", "b"])
    assert (list(mapped.over[0]), list(mapped.body[0].kwargs)) == (["z", "a"], ["zz", "b"])
    assert list(child.payload) == ["zebra", "ape"]


def test_another_order_is_another_version_and_one_key_needs_no_text(tmp_path):
    one_way, other_way = (
        one(tmp_path, f"shop.A: {{tasks: [A: {{with: {keys}}}]}}\n") for keys in ("{b: 1, a: 2}", "{a: 2, b: 1}")
    )
    assert content_hash(one_way) != content_hash(other_way)
    single = one(tmp_path, "shop.A: {tasks: [A: {with: {a: [1, {b: 2}]}}]}\n")
    assert as_json(single)["tasks"][0]["with"] == {"a": [1, {"b": 2}]}
    odd = one(tmp_path, "shop.A: {tasks: [A: {with: {$ordered: '[1]'}}]}\n")
    assert from_json(as_json(odd)).tasks[0].kwargs == {"$ordered": "[1]"}


def test_what_was_stored_with_its_keys_as_they_were_is_read(tmp_path):
    stored = as_json(one(tmp_path, "shop.A: {tasks: [A]}\n")) | {"schema": {"type": "object", "properties": {}}}
    stored["tasks"][0]["with"] = {"a": 1, "b": 2}
    read_back = from_json(stored)
    assert (read_back.schema, read_back.tasks[0].kwargs) == (stored["schema"], {"a": 1, "b": 2})
