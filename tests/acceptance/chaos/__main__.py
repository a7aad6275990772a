"""The chaos run: break everything by a plan, end the faults, wait for every outcome, ask the checker."""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tests.acceptance.tcp_proxy import Proxy

from .plan import HURTING, KINDS, NEEDS_PROXY, Fault, draw

POSTGRES = "postgres://postgres@127.0.0.1:5432/director_chaos"
REDIS = "redis://127.0.0.1:6379/9"
PORTS = {"postgres": 5432, "mysql": 3306, "redis": 6379, "amqp": 5672}
CLEAN = Fault(0, "empty_broker", 0, 0)
CALM = 12.0
"""Seconds after the faults in which the load goes on, to see how long messages wait that are lost in a calm."""
#: Records that broken servers bring about in Celery itself.
EXPECTED = (
    "consumer: Cannot connect",
    "Connection to broker lost",
    "CRITICAL/MainProcess] Couldn't ack ",
    "exited with 'signal 9 (SIGKILL)'",
    "Task handler raised error: WorkerLostError",
    "Task handler raised error: Terminated",
    "The supervisor has died; it is started again",
    # When the connection to RabbitMQ is lost, Celery lets its event loop do what it has left: read that connection
    # once more. It tells that error too, and connects anew.
    "Error cleaning up after event loop: RecoverableConnectionError(None, 'Socket was disconnected'",
    "Error cleaning up after event loop: ConnectionResetError(104, ",
    "Error cleaning up after event loop: BrokenPipeError(32, ",
    "Error cleaning up after event loop: OSError('Server unexpectedly closed connection')",
    # The same, when the worker is told to end in that moment.
    "Error on stopping Hub: ConnectionResetError(104, ",
    "Error on stopping Hub: BrokenPipeError(32, ",
    # While Celery looks for its broker it does not hear that a new process is up, and ends it after 4 s.
    "Timed out waiting for UP message",
    # Celery 5.7 ends a worker whose broker leaves while its consumer starts, or while it reads from its pool: its
    # process manager's to restart.
    "Unrecoverable error: AttributeError(\"'NoneType' object has no attribute 'hostname'\")",
    "Unrecoverable error: UnpicklingError(",
)
#: The same for tasks that send their own process a signal.
SIGNALED = (
    *("exited with 'signal 15 (SIGTERM)'", "exited with 'signal 1 (SIGHUP)'"),
    # A process that has written down what the signal has ended exits by itself, with the signal's number.
    *("exited with 'exitcode 15'", "exited with 'exitcode 1'", "exited with 'exitcode 70'"),
)


def main() -> int:
    """Parse the arguments, run, print the summary; 1 when a promise was broken."""
    options = _parser().parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    database = options.database or (POSTGRES if _answers(POSTGRES) else "sqlite://")
    broker = options.broker or (REDIS if _answers(REDIS) else "director://")
    targets = {"database": database, "broker": broker}
    kinds = {kind for kind in KINDS if kind not in NEEDS_PROXY or _has_port(targets[kind.partition("_")[2]])}
    kinds -= set() if _has_port(database) else {"terminate_backends"}
    # The embedded broker is in the database: nobody shares it who does not share that.
    kinds -= set() if _has_port(broker) else {"stranger"}
    kinds -= set(options.without)
    plan = draw(options.seed, options.seconds, workers=options.workers, kinds=kinds)
    print(f"seed {options.seed}: {len(plan)} faults in {options.seconds:g} s, {_bare(database)}, {_bare(broker)}")
    if options.plan:
        print(*plan, sep="\n")
        return 0
    folder = Path(tempfile.mkdtemp(prefix=f"director-chaos-{options.seed}-"))
    print(f"logs in {folder}", flush=True)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tests.acceptance.settings",
        # Names of its own: two chaos runs may share a server, and a test of this one has its own file.
        "DATABASE_URL": f"{database}_{os.getpid()}" if _has_port(database) else database,
        "DIRECTOR_TEST_RUN": f"{os.environ.get('DIRECTOR_TEST_RUN', 'chaos')}-{os.getpid()}",
        "DIRECTOR_TEST_TRACE": str(folder / "trace"),
    }
    proxies = {name: Proxy(_address(url)) for name, url in targets.items() if _has_port(url)}
    os.environ["CELERY_BROKER_URL"] = _through(proxies.get("broker"), broker)
    return _run(options, plan, proxies, broker, folder)


def _run(options: Any, plan: list[Any], proxies: dict[str, Proxy], broker: str, folder: Path) -> int:
    import django

    django.setup()
    from django.db import connection, connections

    from django_director.sync import versions
    from tests.acceptance import audit
    from tests.acceptance.harness import database_url

    from .load import Load
    from .site import Site
    from .verdict import Verdict

    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    site = Site(
        broker=os.environ["CELERY_BROKER_URL"],
        direct_broker=broker,
        folder=folder,
        environ={"DATABASE_URL": _through(proxies.get("database"), database_url())},
        proxies=proxies,
        workers=options.workers,
    )
    load = Load(options.seed, options.rate, HURTING.keys() - set(options.without))
    try:
        audit.install()
        versions.sync()
        site.empty_broker(CLEAN)
        site.start(strangers=any(fault.kind == "stranger" for fault in plan))
        load.begin()
        _do(site, plan, options.seconds)
        site.note("the faults have ended")
        # The plan may have ended this thread's connection too.
        connections.close_all()
        site.heal()
        verdict = Verdict(site, load, patience=options.patience)
        verdict.watch(CALM / 2)
        site.do(CLEAN)
        verdict.watch(CALM / 2)
        load.end()
        load.resume_all()
        site.note("the load has ended")
        verdict.wait()
        site.end()
        found = verdict.check()
        (folder / "refused.log").write_text("\n".join(load.errors))
        summary = {"seed": options.seed, "seconds": options.seconds, **verdict.summary()}
        summary["violations"] = [str(violation) for violation in found]
        (folder / "summary.json").write_text(json.dumps(summary, indent=1, default=str))
    finally:
        # Also when it is interrupted: nothing may go on, and the database has to go.
        load.end()
        site.end()
        for proxy in proxies.values():
            proxy.close()
        connections.close_all()
        connection.creation.destroy_test_db(os.environ["DATABASE_URL"].rpartition("/")[2], verbosity=0)
    _print(summary)
    print(f"logs in {folder}; python -m tests.acceptance.chaos --seed {options.seed} draws the same faults")
    return 1 if found else 0


def _do(site: Any, plan: list[Any], seconds: float) -> None:
    """Each fault at its time, in a thread of its own: some last while others begin."""
    began = time.monotonic()
    threads = []
    try:
        for fault in plan:
            time.sleep(max(0.0, began + fault.at - time.monotonic()))
            threads.append(threading.Thread(target=site.do, args=(fault,)))
            threads[-1].start()
        time.sleep(max(0.0, began + seconds - time.monotonic()))
    finally:
        for thread in threads:
            thread.join()


def _print(summary: dict[str, Any]) -> None:
    for name, value in summary.items():
        if name == "violations":
            continue
        shown = ", ".join(f"{key} {number}" for key, number in value.items()) if isinstance(value, dict) else value
        print(f"{name:>18}  {shown}")
    for violation in summary["violations"][:40]:
        print("VIOLATION", violation)
    kinds = Counter(violation[:3] for violation in summary["violations"])
    print(f"{sum(kinds.values())} violations {dict(kinds) or ''}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long faults are drawn for")
    parser.add_argument("--seed", type=int, help="of the plan; drawn and printed without it")
    parser.add_argument("--database", help="a URL; PostgreSQL of this machine if it answers, else SQLite")
    parser.add_argument("--broker", help="a URL; Redis of this machine if it answers, else the embedded broker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=2, help="runs started in a second")
    parser.add_argument("--patience", type=float, default=30, help="seconds until every run has its outcome")
    kinds = sorted({*KINDS, *HURTING})
    told = f"kinds of faults to leave out, of {', '.join(kinds)}"
    parser.add_argument("--without", nargs="+", default=[], choices=kinds, metavar="KIND", help=told)
    parser.add_argument("--plan", action="store_true", help="print the faults that the seed draws, and exit")
    return parser


def _has_port(url: str) -> bool:
    return urlsplit(url).scheme in PORTS


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or PORTS[parts.scheme]


def _answers(url: str) -> bool:
    try:
        socket.create_connection(_address(url), timeout=2).close()
    except OSError:
        return False
    return True


def _through(proxy: Proxy | None, url: str) -> str:
    if proxy is None:
        return url
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(
        parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}" if user else f"127.0.0.1:{proxy.port}")
    )


def _bare(url: str) -> str:
    """A URL without its password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


if __name__ == "__main__":
    sys.exit(main())
