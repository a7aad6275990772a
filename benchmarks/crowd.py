"""Runs as a site has them after a year: of 200 workflows, most of them done, a few in each other state.

PostgreSQL makes the rows. ``fill`` is for an empty database; ``ANALYZE`` follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from django.db.models import Model

WORKFLOWS: Final = 200
TASKS: Final = 3
RARE: Final = "crowd.W49"
"""A workflow of which every hundred thousandth run is, and at least one: the oldest runs."""
RETIRED: Final = "crowd.W48"
"""A workflow all of whose runs are among the oldest twentieth."""
LIMITED: Final = "crowd.W47"
"""A workflow with ``concurrency``; some of its runs are pending."""
HEALTHY: Final = "crowd.W1"
"""A frequent workflow of which no run has failed."""
STEPS: Final = ("extract", "approve", "load")
BUSY_USER: Final = "user0"
RARE_USER: Final = "ann"
YEAR: Final = 365 * 86_400

# `i` is 1 for the oldest run, and :runs for the newest. `h` is a number from 0 to 9999 that looks random.
_RUN: Final = {
    "workflow": """CASE WHEN i % 100000 = 1 THEN 49 WHEN i < {runs} / 20 AND h < 2000 THEN 48
        WHEN {runs} - i < 60 THEN 47 WHEN h % 50 = 7 THEN 50 + g % 150
        ELSE floor(power(g / 10000.0, 3) * 48)::integer END""",
    "status": """CASE WHEN w = 47 AND {runs} - i < 60 THEN 'pending'
        WHEN {runs} - i < 300 OR i % 5000 = 0 THEN 'running'
        WHEN h % 100 < 3 AND w <> 1 THEN 'failed' WHEN h % 200 = 99 THEN 'canceled' ELSE 'success' END""",
    "trigger": """CASE WHEN h % 10 < 6 THEN 'schedule' WHEN h % 100 < 70 AND i > 1 THEN 'workflow'
        WHEN h % 100 < 90 THEN 'api' WHEN h % 100 < 95 THEN 'admin'
        WHEN h % 100 < 98 THEN 'relaunch' ELSE 'manual' END""",
}

_ERROR: Final = """(ARRAY['ValueError: no such order ', 'ConnectionError: 503 from 10.0.0.',
    'TimeoutError: no answer in ', 'KeyError: card '])[1 + h % 4] || i"""


def fill(runs: int) -> None:
    """Make so many runs with three tasks each, and their workflows."""
    from django.db import connection

    from django_director.models import Run, Task

    versions = _workflows()
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("CREATE TEMPORARY TABLE crowd_versions (number integer, workflow bigint, version bigint)")
        for number, (workflow, version) in enumerate(versions):
            cursor.execute("INSERT INTO crowd_versions VALUES (%s, %s, %s)", [number, workflow, version])
        cursor.execute(_source(runs))
        cursor.execute("CREATE INDEX ON crowd (i)")
        cursor.execute("CREATE INDEX ON crowd (w, i) WHERE status = 'failed'")
        cursor.execute("ANALYZE crowd")
        # A child run names a task of the run before it, which the same statement inserts.
        cursor.execute(_insert(Run, _run_columns(), "FROM crowd ORDER BY i"))
        cursor.execute(_insert(Task, _task_columns(), _EACH_TASK))
        cursor.execute(_CHILDREN)
        cursor.execute(_RELAUNCHES)
        cursor.execute("DROP TABLE crowd, crowd_versions")
        cursor.execute("VACUUM ANALYZE")


def fail(runs: int) -> None:
    """Let so many of the newest finished runs have failed within the last day."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(_FAIL, [runs])
        cursor.execute("VACUUM ANALYZE django_director_run")


_FAIL: Final = """UPDATE django_director_run SET status = 'failed',
    error = 'load: ConnectionError: 503 from ' || number,
    finished_at = now() - number %% 86000 * interval '1 second'
    FROM (SELECT id AS chosen, row_number() OVER (ORDER BY id DESC) AS number FROM django_director_run
        WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT %s) newest WHERE id = chosen"""


def _workflows() -> list[tuple[int, int]]:
    """Make the workflows, and return the ids of each one and of its version."""
    from django_director.definitions import ApprovalStep, Definition, TaskStep, as_json
    from django_director.models import Workflow, WorkflowVersion

    made = []
    for number in range(WORKFLOWS):
        name = f"crowd.W{number}"
        extract, approve, load = STEPS
        steps = (
            TaskStep(id=extract, task="NOOP"),
            ApprovalStep(id=approve) if number % 5 == 0 else TaskStep(id=approve, task="NOOP"),
            TaskStep(id=load, task="NOOP"),
        )
        workflow = Workflow.objects.create(name=name)
        version = WorkflowVersion.objects.create(
            workflow=workflow,
            number=1,
            content_hash=f"{number:064}",
            definition=as_json(Definition(name=name, tasks=steps)),
            source=f"{name}: {{}}\n",
            path="crowd.yml",
        )
        workflow.current_version = version
        workflow.save()
        made.append((workflow.pk, version.pk))
    return made


def _source(runs: int) -> str:
    """Return the statement that makes the table ``crowd``: what each run is."""
    # The numbers are those of a hash, and so the same each time.
    drawn = f"""SELECT i, abs(hashint4(i)) % 10000 AS h, abs(hashint4(i + 7000000)) % 10000 AS g,
        date_trunc('milliseconds', now()) - ({runs} - i) * interval '{YEAR / runs} seconds' AS t
        FROM generate_series(1, {runs}) i"""
    numbered = f"SELECT *, {_RUN['workflow'].format(runs=runs)} AS w FROM ({drawn}) drawn"
    judged = f"SELECT *, {_RUN['status'].format(runs=runs)} AS status FROM ({numbered}) numbered"
    prefix = (
        "lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(i), 6, '0')"
    )
    return f"""CREATE TEMPORARY TABLE crowd AS SELECT judged.*, {_RUN["trigger"]} AS cause, {prefix} AS prefix,
        workflow, version FROM ({judged}) judged JOIN crowd_versions ON number = w"""


def _run_columns() -> dict[str, str]:
    pending, ended = "status = 'pending'", "status NOT IN ('pending', 'running')"
    return {
        "id": "(prefix || '000000')::uuid",
        "workflow_id": "workflow",
        "version_id": "version",
        "status": "status",
        "trigger": "cause",
        "payload": """'{"order": 7}'""",
        "error": f"CASE WHEN status = 'failed' THEN 'load: ' || {_ERROR} ELSE '' END",
        "stop": "CASE WHEN status = 'running' AND h % 50 = 0 THEN 'cancel' ELSE '' END",
        "paused_at": "CASE WHEN status = 'running' AND h % 20 = 1 THEN t END",
        "user_name": f"""CASE WHEN i % 200000 = 2 THEN '{RARE_USER}' WHEN cause IN ('admin', 'manual', 'relaunch')
            THEN 'user' || floor(power(g / 10000.0, 2) * 20) ELSE '' END""",
        "comment": "CASE WHEN i % 10 = 3 THEN 'for ticket ' || i ELSE '' END",
        "idempotency_key": "CASE WHEN cause = 'api' THEN 'key-' || i END",
        "schedule": "CASE WHEN cause = 'schedule' THEN 'crowd.W' || w END",
        "scheduled_for": "CASE WHEN cause = 'schedule' THEN t END",
        "concurrency_key": f"CASE WHEN {pending} THEN '' END",
        "queued_at": f"CASE WHEN {pending} THEN t END",
        "next_admission_at": f"CASE WHEN {pending} THEN t + interval '1 day' END",
        "created_at": "t",
        "started_at": f"CASE WHEN NOT {pending} THEN t END",
        "finished_at": f"CASE WHEN {ended} THEN t + interval '2 seconds' END",
    }


_EACH_TASK: Final = """FROM (SELECT crowd.*, p, CASE
    WHEN status = 'success' THEN 'success'
    WHEN status = 'failed' THEN (ARRAY['success', 'success', 'failed'])[p + 1]
    WHEN status = 'canceled' THEN (ARRAY['success', 'success', 'canceled'])[p + 1]
    WHEN status = 'pending' THEN 'pending'
    WHEN p = 2 THEN 'pending'
    WHEN p = 0 THEN 'success'
    WHEN w % 5 = 0 THEN 'waiting'
    WHEN h % 5 = 0 THEN 'running' ELSE 'queued' END AS task_status
    FROM crowd, generate_series(0, 2) p) tasks ORDER BY i, p"""


def _task_columns() -> dict[str, str]:
    ended, began = "task_status IN ('success', 'failed', 'canceled')", "task_status NOT IN ('pending', 'queued')"
    running, queued = "task_status = 'running'", "task_status = 'queued'"
    return {
        "id": "(prefix || lpad(to_hex(p + 1), 6, '0'))::uuid",
        "run_id": "(prefix || '000000')::uuid",
        "position": "p",
        "step": "(ARRAY['extract', 'approve', 'load'])[p + 1]",
        "name": "CASE WHEN p = 1 AND w % 5 = 0 THEN 'director.step' ELSE 'NOOP' END",
        "status": "task_status",
        "result": "CASE WHEN task_status = 'success' THEN '[1, 2, 3]'::jsonb END",
        "error": f"CASE WHEN task_status = 'failed' THEN {_ERROR} ELSE '' END",
        "asked_at": "CASE WHEN task_status = 'waiting' THEN t END",
        "claim": f"CASE WHEN {running} THEN 1 END",
        "lease_until": f"CASE WHEN {running} THEN now() + interval '1 day' END",
        "next_dispatch_at": f"CASE WHEN {queued} THEN now() + interval '1 day' END",
        "queued_at": "CASE WHEN task_status <> 'pending' THEN t END",
        "attempt": f"CASE WHEN {began} THEN 1 ELSE 0 END",
        "started_at": f"CASE WHEN {began} THEN t END",
        "finished_at": f"CASE WHEN {ended} THEN t + interval '1 second' END",
    }


# The run that has failed last before.
_RELAUNCHES: Final = """UPDATE django_director_run SET relaunched_from_id =
    (SELECT (prefix || '000000')::uuid FROM crowd before
        WHERE before.w = crowd.w AND before.status = 'failed' AND before.i < crowd.i ORDER BY i DESC LIMIT 1)
    FROM crowd WHERE cause = 'relaunch' AND id = (prefix || '000000')::uuid"""

_CHILDREN: Final = """UPDATE django_director_run SET parent_task_id =
    (SELECT (prefix || '000001')::uuid FROM crowd before WHERE before.i = crowd.i - 1)
    FROM crowd WHERE cause = 'workflow' AND id = (prefix || '000000')::uuid"""


def _insert(model: type[Model], given: dict[str, str], source: str) -> str:
    """Return an ``INSERT … SELECT``; a column that is not ``given`` gets the default of its field."""
    from django.db import connection

    quote = connection.ops.quote_name
    columns = {
        field.column: given.get(str(field.column)) or _default(field) for field in model._meta.concrete_fields
    }
    names = ", ".join(quote(str(name)) for name in columns)
    return f"INSERT INTO {quote(model._meta.db_table)} ({names}) SELECT {', '.join(columns.values())} {source}"


def _default(field: Any) -> str:
    if field.null:
        return "NULL"
    value = field.get_default()
    return f"'{value}'" if isinstance(value, str) else str(value)
