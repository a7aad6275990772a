"""Files made of the language's own words: whatever they say, reading tells it, and what it accepts it keeps."""

from __future__ import annotations

import json
import pkgutil

from hypothesis import given
from hypothesis import strategies as st

from django_director.definitions import (
    CODES,
    ON_CONFLICT,
    ON_TIMEOUT,
    RULES,
    as_json,
    check_retries,
    check_tasks,
    content_hash,
    from_json,
    read_files,
)
from tests.examples import examples

from .helpers import SIGNATURES

IDS = ["A", "B", "C", "G", "M", "FETCH", "STORE"]
ids = st.sampled_from(IDS)
anything = st.sampled_from([None, True, 0, 3, -1, 1.5, "", "A", "10m", "x y", [], ["A", 1], {}, {"a": [1]}])
expressions = st.sampled_from(
    [
        *("payload.a", "tasks.A.result", "tasks.M.result > 1", "item.b", "index", "run.status == 'failed'", "a ="),
        *("${{ tasks.B.status }}", "default(tasks['FETCH-2'].result, 0)", "tasks.G.decision"),
    ]
)
templates = st.dictionaries(st.sampled_from(["rows", "amount", "order"]), expressions | anything, max_size=2)
retries = st.integers(0, 3) | st.fixed_dictionaries(
    {"max": st.integers(0, 3)},
    optional={
        "delay": st.sampled_from(["5s", 0, 2.5]),
        "backoff": st.sampled_from([1, 2, 0.1]),
        "only": st.sampled_from(["ValueError", ["builtins.KeyError"], ["no.Where"]]),
        "jitter": st.booleans(),
    },
)
running = {
    "retry": retries | anything,
    "timeout": st.sampled_from(["1h30m", 5, "5 m"]),
    "queue": st.just("slow"),
    "priority": st.integers(-1, 9),
}
common = {
    "needs": st.lists(ids, max_size=2) | ids | anything,
    "when": expressions | anything,
    "trigger_rule": st.sampled_from([*RULES, "none"]),
    "description": st.just("d"),
}
task_options = st.fixed_dictionaries(
    {},
    optional=common
    | running
    | {"with": templates, "task": ids, "continue_on_error": st.booleans(), "x-a": anything, "over": anything},
)
tasks = ids | st.builds(lambda name, options: {name: options}, ids, task_options)


def containers(steps):
    kind = st.sampled_from(["group", "chain"])
    members = st.lists(steps, max_size=3)
    return st.fixed_dictionaries({"type": kind, "tasks": members}, optional=common)


others = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("map"), "over": expressions | st.just([1, 2])},
        optional=common
        | running
        | {
            "task": ids,
            "tasks": st.lists(tasks, max_size=2),
            "max_parallel": st.integers(0, 2),
            "with": templates,
        },
    ),
    st.fixed_dictionaries(
        {"workflow": st.sampled_from(["shop.A", "shop.B", "shop.C"])}, optional=common | {"payload": templates}
    ),
    st.fixed_dictionaries(
        {"type": st.just("approval")},
        optional=common | {"timeout": anything, "on_timeout": st.sampled_from(ON_TIMEOUT)},
    ),
    st.fixed_dictionaries(
        {"type": st.just("wait")},
        optional=common | {"for": st.sampled_from([5, "5m"]), "until": expressions | anything},
    ),
)
steps = st.recursive(
    tasks | st.builds(lambda name, options: {name: options}, ids, others),
    lambda inner: st.builds(lambda name, options: {name: options}, ids, containers(inner)),
    max_leaves=8,
)
hooks = tasks | st.lists(tasks | st.builds(lambda options: {"X": options}, others), max_size=2)
workflow = st.fixed_dictionaries(
    {"tasks": st.lists(steps, max_size=6)},
    optional={
        "hooks": st.dictionaries(st.sampled_from(["success", "failure", "canceled", "always"]), hooks, max_size=2),
        "defaults": st.fixed_dictionaries({}, optional=running),
        "queue": st.fixed_dictionaries({}, optional={"default": ids, "customs": st.dictionaries(ids, ids)}),
        "concurrency": st.fixed_dictionaries(
            {},
            optional={"limit": st.integers(0, 2), "key": expressions, "on_conflict": st.sampled_from(ON_CONFLICT)},
        ),
        "result": expressions,
        "timeout": anything,
        "fail_fast": st.booleans(),
        "allowed_groups": st.lists(ids, max_size=2),
    },
)


@examples(50)
@given(st.fixed_dictionaries({"shop.A": workflow}, optional={"shop.B": workflow}))
def test_any_file_of_the_language(tmp_path_factory, said):
    path = tmp_path_factory.getbasetemp() / "language.yml"
    path.write_text(json.dumps(said))
    reading = read_files([path])
    found = [
        *check_tasks(reading.definitions, SIGNATURES.get, SIGNATURES),
        *check_retries(reading.definitions, pkgutil.resolve_name),
    ]
    assert {problem.code for problem in reading.adding(found).problems} <= set(CODES)
    for definition in reading.definitions if not reading.problems else ():
        again = from_json(json.loads(json.dumps(as_json(definition))))
        assert content_hash(again) == content_hash(definition)
        assert (again.tasks, again.hooks, again.concurrency) == (
            definition.tasks,
            definition.hooks,
            definition.concurrency,
        )
