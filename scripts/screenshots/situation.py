"""Makes the rows of a night in which an import has failed: the pages of peers were judged by the same situation.

An import of orders fetches, checks each order, checks stock and prices beside each other, loads and reports. The
warehouse refuses connections since some hours, an approval waits, a worker is missing, and names are hostile.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from django_director.common.versions import of_process
from django_director.definitions import Concurrency, Schedule
from django_director.models import Lease, Run, Task, TaskLog, Worker, Workflow
from django_director.schedules import beat_rows
from django_director.schedules.beat_rows import Change
from django_director.status import RunStatus, TaskStatus
from tests import factories

REFUSED = "ConnectionError: warehouse.example.com:5439 refused the connection (request {number})"
TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/.venv/lib/python3.12/site-packages/celery/app/trace.py", line 479, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/srv/shop/orders/tasks.py", line 88, in load
    with warehouse.connect(timeout=5) as connection:
  File "/srv/shop/orders/warehouse.py", line 31, in connect
    raise ConnectionError(f"{host}:{port} refused the connection")
ConnectionError: warehouse.example.com:5439 refused the connection
"""
LINES = """2026-11-30T02:10:01.120Z INFO orders.tasks: 1,204 orders to load
2026-11-30T02:10:01.130Z INFO orders.warehouse: connecting to warehouse.example.com:5439
2026-11-30T02:10:06.150Z WARNING orders.warehouse: no answer after 5 s, trying once more
2026-11-30T02:10:11.180Z ERROR orders.warehouse: refused
"""
HOSTILE = "<script>alert(1)</script> \u202etxt.exe & “quotes” " + "x" * 60
ORDER = {
    "type": "object",
    "required": ["customer", "lines", "urgent"],
    "properties": {
        "customer": {
            "type": "object",
            "title": "Customer",
            "required": ["name", "email"],
            "properties": {
                "name": {"type": "string", "minLength": 2},
                "email": {"type": "string", "format": "email", "description": "Gets the confirmation"},
                "address": {
                    "type": "object",
                    "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
                },
            },
        },
        "day": {"type": "string", "format": "date", "title": "Day of delivery"},
        "not_before": {"type": "string", "format": "date-time"},
        "urgent": {"type": "boolean", "title": "Deliver by courier", "default": False},
        "carrier": {"enum": ["DHL", "UPS", "by hand"]},
        "lines": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["sku"],
                "properties": {
                    "sku": {"type": "string"},
                    "number": {"type": "integer", "minimum": 1, "default": 1},
                },
            },
        },
        "vouchers": {"type": "array", "items": {"type": "string"}, "description": "Codes of vouchers"},
        "colours": {"type": "array", "items": {"enum": ["red", "green", "blue"]}},
        "note": {"type": "string", "maxLength": 2000, "title": HOSTILE},
        "pin": {"type": "string", "format": "password"},
        "extra": {"description": "What the shop adds"},
    },
}
ALL_DONE = {"FETCH": "success", "STOCK": "success", "PRICES": "success", "LOAD": "success", "REPORT": "success"}
LOAD_FAILED = {**ALL_DONE, "LOAD": "failed", "REPORT": "upstream_failed"}


def make() -> dict[str, Any]:
    """Write the rows; return those that have pages of their own."""
    chance = random.Random(1)
    now = timezone.now()
    imports, reports, hostile = _workflows()
    for hours in range(47, 1, -1):
        for _ in range(chance.randint(1, 4)):
            _ended(imports, now - timedelta(hours=hours, minutes=chance.randint(0, 59)), ALL_DONE, chance)
        _ended(reports, now - timedelta(hours=hours), {"COLLECT": "success", "SEND": "success"}, chance)
    failed = [_failed(imports, now - timedelta(minutes=9 * n + 3), n, chance) for n in range(14, 0, -1)]
    other = _ended(reports, now - timedelta(minutes=50), {"COLLECT": "failed", "SEND": "upstream_failed"}, chance)
    Run.objects.filter(pk=other.pk).update(error="COLLECT: ValueError: no rate for currency XTS on 2026-11-30")
    odd = _ended(hostile, now - timedelta(hours=3), {HOSTILE[:60]: "failed"}, chance)
    Run.objects.filter(pk=odd.pk).update(error=f"{HOSTILE[:60]}: RuntimeError: {HOSTILE}")
    running, asked = _running(imports, reports, now)
    _signs(now)
    made = {"failed": failed[-1], "running": running, "asked": asked, "imports": imports}
    row = _schedules(imports, reports)
    made |= {"orders": asked.run.workflow, "mapped": _mapped(), "schedule": row}
    return made | {"graph": _of_all_kinds(now), "long": _long(now)}


def _mapped() -> Run:
    """Return a run that has failed in three of forty items of a map."""
    end = factories.mapped("EACH", over="payload.ids")
    workflow = factories.make_workflow(factories.definition("shop.STOCKTAKING", "COUNT", end, "REPORT"))
    statuses = {"COUNT": "success", "EACH": "failed", "REPORT": "upstream_failed"}
    run = factories.make_run(workflow, "failed", statuses, payload={"ids": list(range(40))})
    each = run.tasks.get(step="EACH")
    Task.objects.filter(pk=each.pk).update(map_count=40)
    for index in range(40):
        factories.make_task(
            run, len(run.version.graph.nodes), "failed" if index in (3, 17, 39) else "success", map_index=index
        )
    return _with_error(run, "EACH", "3 of 40 items failed")


def _with_error(run: Run, step: str, error: str) -> Run:
    Run.objects.filter(pk=run.pk).update(error=f"{step}: {error}")
    run.tasks.filter(step=step).update(error=error)
    return run


def _workflows() -> tuple[Workflow, Workflow, Workflow]:
    make, group, define = factories.make_workflow, factories.group, factories.definition
    checks = group("CHECKS", "STOCK", "PRICES")
    imports = define("orders.IMPORT", "FETCH", checks, "LOAD", "REPORT", description="Import the shop's orders")
    reports = define("reports.SALES", "COLLECT", "SEND", description="Sales by country")
    hostile = define("odd.NAMES", factories.step(HOSTILE[:60]), description=HOSTILE)
    return make(imports), make(reports), make(hostile)


def _ended(workflow: Workflow, at: datetime, tasks: dict[str, str], chance: random.Random) -> Run:
    status = RunStatus.FAILED if "failed" in tasks.values() else RunStatus.SUCCESS
    taken = timedelta(seconds=chance.uniform(60, 100))
    times = {"created_at": at - taken, "started_at": at - taken, "finished_at": at}
    run = factories.make_run(workflow, status, tasks, trigger="schedule", **times)
    run.tasks.filter(status="upstream_failed").update(started_at=None)
    begun = at - taken
    for task in run.tasks.exclude(status="upstream_failed").exclude(started_at=None).order_by("position"):
        ended = begun + taken * chance.uniform(0.1, 0.3)
        moments = {"queued_at": begun, "started_at": begun + taken * 0.02, "finished_at": ended}
        Task.objects.filter(pk=task.pk).update(**moments)
        begun = begun if task.step == "STOCK" else ended
    return run


def _failed(workflow: Workflow, at: datetime, number: int, chance: random.Random) -> Run:
    run = _ended(workflow, at, LOAD_FAILED, chance)
    error = REFUSED.format(number=4000 + number)
    Run.objects.filter(pk=run.pk).update(error=f"LOAD: {error}")
    load = run.tasks.get(step="LOAD")
    Task.objects.filter(pk=load.pk).update(error=error, traceback=TRACEBACK, worker="celery@shop-1")
    TaskLog.objects.create(task=load, sequence=1, attempt=1, text=LINES)
    return Run.objects.get(pk=run.pk)


def _running(imports: Workflow, reports: Workflow, now: datetime) -> tuple[Run, Task]:
    began = now - timedelta(seconds=48)
    tasks = {"FETCH": "success", "STOCK": "running"}
    times = {"started_at": began, "created_at": began}
    running = factories.make_run(imports, tasks=tasks, comment="by hand, for Mia", **times)
    stock = {"progress": {"done": 37, "total": 50, "message": "checking shelf B7"}}
    Task.objects.filter(run=running, step="STOCK").update(**stock, started_at=began)
    old = now - timedelta(minutes=31)
    late = factories.make_run(reports, tasks={"COLLECT": "running"}, started_at=old, created_at=old)
    Task.objects.filter(run=late, step="COLLECT").update(started_at=old)
    hooks = {"failure": (factories.step("CALL_SUPPORT"),), "success": (factories.step("MAIL"),)}
    options = {"schema": ORDER, "hooks": hooks, "concurrency": Concurrency(), "description": "Send an order"}
    ends = factories.mapped("LABELS", over="payload.lines"), factories.child("BILL", "shop.BILL")
    asks = factories.approval("SIGN_OFF", prompt="Ship this order?")
    ship = factories.definition("shop.ORDER", "PACK", asks, *ends, **options)
    waiting = factories.make_run(factories.make_workflow(ship), tasks={"PACK": "success"}, started_at=old)
    chosen = Task.objects.filter(run=waiting, step="SIGN_OFF")
    chosen.update(status=TaskStatus.WAITING, asked_at=old, sequence=1, started_at=old)
    heavy = factories.make_run(reports, tasks={"COLLECT": "queued"}, started_at=now, created_at=now)
    late_queue = {"queue": "heavy", "queued_at": now - timedelta(minutes=14), "next_dispatch_at": now}
    Task.objects.filter(run=heavy, step="COLLECT").update(**late_queue)
    return running, chosen.get()


def _schedules(imports: Workflow, reports: Workflow) -> PeriodicTask:
    nightly = Schedule(kind="crontab", value="10 * * * *", timezone="Europe/Paris")
    plan = [(beat_rows.row_name(imports.name, 1), imports, nightly)]
    plan.append(("stock-taking", imports, Schedule(kind="crontab", value="0 7 1 * *", timezone="Europe/Paris")))
    plan.append(("every two hours", reports, Schedule(kind="interval", value="7200")))
    beat_rows.apply_changes(
        Change(name=name, action="added", workflow=workflow.name, schedule=schedule)
        for name, workflow, schedule in plan
    )
    PeriodicTask.objects.filter(name="stock-taking").update(enabled=False)
    return PeriodicTask.objects.get(name="stock-taking")


def _of_all_kinds(now: datetime) -> Run:
    """Make a run whose graph has every kind of step, frames in frames, and hooks."""
    make, step = factories, factories.step
    checks = make.group("CHECKS", "STOCK", make.chain("FRAUD", "SCORE", "DECIDE"), when="payload.amount > 100")
    asks = make.approval("SIGN_OFF", prompt="Ship it?", needs=("CHECKS", "PRICE"))
    steps = ("FETCH", checks, "PRICE", make.mapped("THUMBNAILS", "RESIZE"), step("NOTIFY_SALES"), asks)
    steps += (make.child("SHIP", "orders.IMPORT"), make.wait("COOL_DOWN", 30), step("CLEANUP"))
    hooks = {"failure": (step("hooks.failure.PAGE"), step("hooks.failure.MAIL_KO"))}
    hooks |= {"success": (step("hooks.success.MAIL_OK"),), "always": (step("hooks.always.METRICS"),)}
    done = dict.fromkeys(("FETCH", "CHECKS", "STOCK", "SCORE", "DECIDE", "PRICE"), "success")
    workflow = make.make_workflow(make.definition("shop.WHOLE", *steps, hooks=hooks))
    run = make.make_run(workflow, tasks={**done, "STOCK": "skipped"}, started_at=now, created_at=now)
    Task.objects.filter(run=run, step="THUMBNAILS").update(status=TaskStatus.WAITING, started_at=now, sequence=1)
    resize = run.version.graph.bodies[0].position
    for index in range(50):
        status = "failed" if index in (7, 31) else "success" if index < 37 else "running"
        make.make_task(run, resize, status, map_index=index)
    return run


def _long(now: datetime) -> Run:
    """Make a failed run of 500 steps in a row."""
    names = [f"STEP_{number}" for number in range(500)]
    workflow = factories.make_workflow(factories.definition("batch.NIGHT", *names))
    tasks = {name: "success" if number < 338 else "upstream_failed" for number, name in enumerate(names)}
    run = factories.make_run(workflow, "failed", tasks | {"STEP_337": "failed"}, started_at=now, created_at=now)
    return _with_error(run, "STEP_337", "TimeoutError: the tape robot does not answer")


def renew_signs() -> None:
    """Let what is alive give its sign now."""
    Worker.objects.update(seen_at=timezone.now())
    Lease.objects.update(beat_at=timezone.now())


def _signs(now: datetime) -> None:
    for number in (1, 2):
        name = f"celery@shop-{number}"
        known = {"queues": ["celery"], "versions": of_process(), "started_at": now - timedelta(days=3)}
        Worker.objects.create(key=number, name=name, seen_at=now, **known)
    until = now + timedelta(minutes=5)
    for name in ("supervisor", "beat", "retention"):
        Lease.objects.create(name=name, holder="shop-1:4711", until=until, beat_at=now)
