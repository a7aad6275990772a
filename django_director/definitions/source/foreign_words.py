"""Words of other engines and languages, with hints how to write them here.

They come from GitHub Actions, GitLab CI, Airflow, Argo, Step Functions, Prefect, Kestra and Celery itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

Words = Mapping[str, str]
"""Hints by the word, in snake case, that they are for."""

_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def plain_word(word: str) -> str:
    """Return a word in snake case: `dependsOn` and `depends-on` become `depends_on`."""
    return _CAPITAL.sub("_", word[:80]).replace("-", "_").lower()


def hint_for(word: str, words: Words) -> str:
    """Return the hint for a word, in whatever case it is written; an empty text for a word that is not known."""
    plain = plain_word(word)
    return next((words[form] for form in (plain, f"{plain}s", plain.removesuffix("s")) if form in words), "")


def same_as(word: str, known: Collection[str]) -> str:
    """Return which of the ``known`` keys a word stands for, so that its value can be read; empty for none."""
    plain = plain_word(word)
    return next((ours for ours, words in _SAME if ours in known and plain in words.split()), "")


def words(table: str) -> dict[str, str]:
    """Read a table: each hint stands on a line of its own, and below it, indented, the words that get it."""
    found: dict[str, str] = {}
    hint = ""
    for line in table.strip().splitlines():
        if line.startswith(" "):
            found.update(dict.fromkeys(line.split(), hint))
        else:
            hint = line
    return found


OF_STEPS: Final = words("""
write `when: payload.amount > 1000`
    if condition only_if run_if unless run_condition
write `needs: [ID]`
    depends_on depends dependencies after requires upstream wait_for
write `retry: 3`
    retries max_retries attempts max_attempts retry_count retry_strategy retry_policy
write `retry: {max: 3, delay: 10s, backoff: 2}`
    retry_delay retry_backoff default_retry_delay retry_after
write `hooks: {failure: TASK}` in the workflow, or a next step with `trigger_rule: any_failed`
    on_failure on_error catch error_handler errors rescue
put a step after it, or write `hooks: {success: TASK}` in the workflow
    on_success
put a step after it with `trigger_rule: always`, or write `hooks: {always: TASK}` in the workflow
    on_exit finally always
what a task gets is in `with`: `with: {name: value}`
    args kwargs arguments params parameters inputs input vars variables env environment op_kwargs
write `type: map` with `over: payload.items` and `task: NAME`
    items item_list foreach for_each loop matrix with_items with_param strategy each
write `type: group` or `type: chain`, and `tasks:` with the steps
    steps jobs parallel branches sequence stages
the id of a step is its key: `- ID: {task: NAME}`
    name id step_id task_id key
a step runs a Celery task: write `task: NAME`
    uses run command cmd script image container bash python shell operator template action
a step runs a Celery task: write `task: NAME`
    function func callable python_callable task_name celery_task handler
write `timeout: 10m`
    time_limit soft_time_limit timeout_minutes timeout_seconds execution_timeout ttl deadline
write `continue_on_error: true`
    allow_failure ignore_errors ignore_failure soft_fail continue_on_failure
write `queue: NAME`
    pool worker runs_on routing_key exchange agent
of a map it is `max_parallel: 10`; of runs, `concurrency` of the workflow
    max_concurrency max_workers parallelism max_active
what the task returns is its result: `tasks.ID.result`
    output outputs returns result result_path artifacts
the next entry of the list is next; a branch is a `chain` with `when`
    next goto then else end start start_at choices default
put a step before it: `- PAUSE: {type: wait, for: 30s}`
    sleep delay countdown eta
put a step before it: `- ASK: {type: approval, prompt: …}`
    manual approve approval
a schedule is the workflow's: `periodic: {crontab: "0 7 * * *"}`
    schedule cron crontab interval
write `description:`, or a key of your own that begins with `x-`
    comment title summary doc documentation doc_md display_name label labels tags
""")

OF_WORKFLOWS: Final = words("""
write `tasks:`, a list of steps: `tasks: [FETCH]`
    steps jobs stages states nodes activities dag pipeline flow
write `periodic: {crontab: "0 7 * * *"}` or `periodic: {interval: 10m}`
    schedule schedule_interval cron crontab interval timetable trigger on every
what a run gets is its payload, which `schema` describes: `schema: {properties: {order: {type: integer}}}`
    parameters params inputs input arguments args kwargs payload
there are no variables: use the payload, with a `default` in `schema`, or Django's settings
    env environment vars variables secrets
write `hooks: {failure: TASK}`; `success`, `canceled` and `always` are the others
    on_failure on_error catch callbacks notifications notify on_failure_callback
write `hooks: {success: TASK}`
    on_success on_success_callback
write `hooks: {canceled: TASK}`
    on_cancel on_cancelled
write `hooks: {always: TASK}`
    on_exit finally always
write `defaults: {retry: 3}`, for all its tasks
    retries max_retries attempts retry_policy default_args task_defaults
write `timeout: 6h`
    time_limit timeout_minutes timeout_seconds dagrun_timeout execution_timeout deadline
write `concurrency: {limit: 1}`
    max_active_runs max_parallel parallelism singleton mutex concurrency_limit max_concurrency
the name of a workflow is its key, `project.NAME:`; more goes in `description`
    name id dag_id title
write `result: tasks.ID.result`
    output outputs returns
write `allowed_groups: [sales]`
    permissions groups roles owner owners users access_control
the switch of a schedule is `periodic: {enabled: false}`
    enabled active is_paused paused is_active start_date end_date catchup
a step has a `when`; for all of them put the steps in a `chain` with `when`
    if condition when
steps have `needs`; a workflow that another one waits for is a step of it: `- ID: {workflow: project.NAME}`
    depends_on needs
write `description:`, or a key of your own that begins with `x-`
    tags labels version doc documentation comment metadata
""")

OF_RETRY: Final = words("""
write `max: 3`, the number of further attempts
    attempts max_attempts max_retries retries limit times count
write `delay: 10s`
    interval wait countdown initial_delay interval_seconds default_retry_delay
write `backoff: 2` for delays that double
    factor multiplier exponential backoff_rate retry_backoff
write `max_delay: 10m`
    max_interval max_delay_seconds max_backoff retry_backoff_max cap
write `only: [requests.Timeout]`
    on exceptions errors error_equals autoretry_for retry_on retry_for
write `never: [ValueError]`
    exclude not_on abort_on dont_autoretry_for ignore
write `jitter: true`
    retry_jitter jitter_strategy random
""")

OF_SCHEDULES: Final = words("""
write `crontab: "0 7 * * *"`
    cron expression cron_expression
write `interval: 10m`
    every seconds minutes hours days timedelta
write `timezone: Europe/Paris`
    tz time_zone
write `enabled: false`
    active is_active paused disabled
write `payload: {name: value}`
    args kwargs input inputs params parameters arguments data
""")

OF_HOOKS: Final = words("""
write `failure: TASK`
    on_failure failed on_error error failures
write `success: TASK`
    on_success succeeded completed complete done
write `always: TASK`
    finally on_exit exit end after any
write `canceled: TASK`
    on_cancel cancelled cancel aborted stopped
let it be the first step; hooks run when the run has ended
    on_start start before on_retry
""")

OF_CONCURRENCY: Final = words("""
write `limit: 1`
    max max_parallel max_active_runs max_runs parallelism count
write `key: payload.order`
    group
write `on_conflict: cancel_running`; `queue` and `skip` are the others
    cancel_in_progress policy strategy concurrency_policy collision_strategy behavior
""")

TYPES: Final = words("""
write `type: group`
    parallel fan_out concurrent all group_all chord
write `type: chain`
    sequence sequential serial pipeline steps
write `type: map` with `over: payload.items` and `task: NAME`
    foreach for_each loop each for iterator matrix dynamic_map while until
give each branch, a step or a `chain`, a `when`: `when: payload.kind == "a"`
    switch choice branch if condition conditional router case
a Celery task needs no type: `- ID: {task: NAME}`
    task celery job activity python function step
write `- ID: {workflow: project.NAME}`
    workflow subworkflow sub_workflow child subdag subflow
write `type: approval`
    manual human gate pause user_task input
write `type: wait` with `for: 30s`
    sleep delay timer sensor pause_for
a step runs a Celery task: write `task: NAME`
    http webhook script bash shell container docker python_operator
""")
AROUND: Final = frozenset(
    (
        *("workflows", "workflow", "jobs", "job", "pipelines", "pipeline", "dags", "dag", "flows", "flow"),
        *("stages", "steps", "include", "imports", "settings", "config"),
        *(word for word, hint in OF_WORKFLOWS.items() if hint == OF_WORKFLOWS["env"]),
    )
)
"""Words that other engines have at the top of a file, with or around what is a workflow here."""
KINDS: Final = frozenset(OF_STEPS[word] for word in ("run", "steps", "foreach"))
"""The hints of words that say what a step does: the key of such a step is an id, and no task."""
_SAME: Final = (
    ("needs", "depends_on depends dependencies after requires upstream"),
    ("tasks", "steps jobs stages states nodes activities"),
    ("task", "function callable python_callable task_name celery_task"),
    ("over", "items item_list foreach for_each each with_items with_param"),
    ("max", "attempts max_attempts max_retries retries times"),
    ("for", "seconds duration delay sleep"),
    ("until", "at timestamp"),
    ("crontab", "cron cron_expression"),
    ("interval", "every seconds"),
)
CONTAINERS: Final = {TYPES["parallel"]: "group", TYPES["sequence"]: "chain"}
"""The type that a word of another engine means here, by the hint of that word."""
