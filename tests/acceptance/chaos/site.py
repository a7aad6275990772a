"""The processes of a chaos run, the proxies before its servers, and how each fault is done to them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import current_app
from django.db import connection, connections, transaction

from django_director.conf import director
from django_director.dispatch import publisher
from django_director.engine import outbox
from django_director.engine.supervisor.leadership import LEASE_NAME
from django_director.models import Lease, Run, Task
from tests.acceptance.harness import Program, Worker, is_alive, manage
from tests.acceptance.tcp_proxy import Proxy

from .plan import KINDS, Fault

SQLITE_SECONDS = 1.5
"""How long SQLite's one lock is held."""
CONCURRENCY = 2
"""Processes of one worker."""
PASSING_SECONDS = 1.0
"""How long what a process has sent may be on its way to the database, but for what a proxy holds."""
UP_SECONDS = 30.0
"""How long a worker may need to find a broker again that was away: Celery tries ever more seldom."""
STOP_SECONDS = 20.0
"""How long a warm shutdown may take: the longest task has 8 s."""


class Supervisor(Program):
    """``manage.py superviseworkflows``."""

    ready = "supervises, or stands by"

    def __init__(self, broker: str, folder: Path, **environ: str) -> None:
        super().__init__(broker, folder, "superviseworkflows", **environ)
        self.command = [sys.executable, "-m", "django", "superviseworkflows"]


class Stranger(Worker):
    """A worker of another project, which has a database of its own and shares broker and queue."""

    def __init__(self, broker: str, folder: Path, **environ: str) -> None:
        super().__init__(broker, folder, concurrency=1, **environ)


class Site:
    """Workers, a supervisor, and two wires that can be broken."""

    def __init__(
        self,
        *,
        broker: str,
        direct_broker: str,
        folder: Path,
        environ: dict[str, str],
        proxies: dict[str, Proxy],
        workers: int,
    ) -> None:
        self.broker = broker
        self.direct_broker = direct_broker
        self.folder = folder
        self.environ = environ
        self.proxies = proxies
        self.programs: list[Program] = []
        self.workers: list[Worker] = []
        self.locks = [threading.Lock() for _ in range(workers)]
        self.done: Counter[str] = Counter()
        #: When the processes of which worker were killed or frozen: from, to.
        self.hits: defaultdict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
        #: The workers that were told to end while the database was broken.
        self.gave_up: set[str] = set()
        #: In which runs a foreign session held a row: from, to.
        self.locked: defaultdict[UUID, list[tuple[datetime, datetime]]] = defaultdict(list)
        #: While this file is there, a worker stops before it commits the end of a task; by the worker's name.
        self._holds: dict[str, Path] = {}
        self._other = {"DATABASE_URL": f"sqlite:///{folder / 'other.sqlite3'}"}
        #: How many workers ended by themselves, and were started again.
        self.restarted = 0
        #: When which worker was last seen alive.
        self._seen: defaultdict[str, datetime] = defaultdict(lambda: datetime.now(UTC))
        self._supervisor_lock = threading.Lock()
        self._manager = threading.Thread(target=self._manage, name="process manager")
        self._stop = threading.Event()
        #: Until when a statement of a process that is dead by now may reach the database.
        self._held_until = datetime.now(UTC)
        self._began = time.monotonic()

    def start(self, *, strangers: bool) -> None:
        """Start all programs; with ``strangers`` make another project too."""
        if strangers:
            done = manage(self.broker, "migrate", "--verbosity", "0", **self._other)
            assert done.returncode == 0, done.stderr
        self.workers = [self._new_worker() for _ in self.locks]
        self.supervisor = self._new_supervisor()
        self._began = time.monotonic()
        self._manager.start()

    def do(self, fault: Fault) -> None:
        """Do one fault, whole, and write down that it was done."""
        try:
            with contextlib.ExitStack() as stack:
                if KINDS[fault.kind][0] == "worker":
                    stack.enter_context(self.locks[fault.target])
                self.note(f"{fault.kind} {fault.target} for {fault.seconds} s")
                getattr(self, fault.kind)(fault)
                self.done[fault.kind] += 1
        except Exception as error:
            self.note(f"{fault.kind} could not be done: {error!r}")
        finally:
            connections.close_all()

    def note(self, what: str) -> None:
        line = f"{datetime.now(UTC):%H:%M:%S.%f} {time.monotonic() - self._began:7.2f} s  {what}"
        with (self.folder / "faults.log").open("a") as log:
            log.write(line + "\n")

    def heal(self) -> None:
        """End all faults, and let every program be there."""
        for proxy in self.proxies.values():
            proxy.heal()
        self._start_again(wait=True)
        self._wait_until_up()

    @property
    def capacity(self) -> int:
        """How many tasks can run at once."""
        return CONCURRENCY * len(self.workers)

    def end(self) -> None:
        self._stop.set()
        if self._manager.is_alive():
            self._manager.join()
        for program in self.programs:
            program.kill()

    def kill_child(self, fault: Fault) -> None:
        worker = self.workers[fault.target]
        children = sorted(worker.children())
        if children:
            with self._hit(worker), contextlib.suppress(ProcessLookupError):
                os.kill(children[int(fault.at * 100) % len(children)], signal.SIGKILL)

    def kill_worker(self, fault: Fault) -> None:
        worker = self.workers[fault.target]
        with self._hit(worker):
            worker.kill()
        time.sleep(fault.seconds)
        self.workers[fault.target] = self._new_worker()

    def freeze_worker(self, fault: Fault) -> None:
        worker = self.workers[fault.target]
        with self._hit(worker):
            worker.signal(signal.SIGSTOP)
            time.sleep(fault.seconds)
            worker.signal(signal.SIGCONT)

    def freeze_in_transaction(self, fault: Fault) -> None:
        """All that a worker ends within a second is written and not committed when the worker stands still."""
        worker = self.workers[fault.target]
        hold = self._holds[worker.hostname]
        hold.touch()
        with self._hit(worker):
            try:
                time.sleep(1)
                worker.signal(signal.SIGSTOP)
                time.sleep(_bearable(fault.seconds))
            finally:
                hold.unlink()
                worker.signal(signal.SIGCONT)

    def lock_task(self, fault: Fault) -> None:
        self._lock(Task.objects.active(), "run_id", fault)

    def lock_run(self, fault: Fault) -> None:
        self._lock(Run.objects.active(), "pk", fault)

    def stranger(self, fault: Fault) -> None:
        stranger = Stranger(self.broker, self.folder, **self._other)
        self.programs.append(stranger)
        try:
            stranger.launch()
            time.sleep(fault.seconds)
        finally:
            stranger.kill()

    def stop_worker(self, fault: Fault) -> None:
        worker, begin = self.workers[fault.target], datetime.now(UTC)
        assert worker.process is not None
        worker.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while worker.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if worker.process.poll() is None:
            self.note(f"{worker.hostname} did not end within {STOP_SECONDS} s; killed")
            with self._hit(worker):
                worker.kill()
        worker.signal(signal.SIGKILL)
        if self._held_until > begin:
            # The patience with a database that is away ends with the worker.
            self.gave_up.add(worker.hostname)
            self.hits[worker.hostname].append((begin, max(datetime.now(UTC), self._held_until)))
        time.sleep(fault.seconds)
        self.workers[fault.target] = self._new_worker()

    def kill_supervisor(self, fault: Fault) -> None:
        """The one that works, whosever child it is."""
        for holder in Lease.objects.filter(name=LEASE_NAME).values_list("holder", flat=True):
            pid = int(holder.rpartition(":")[2])
            self.note(f"{holder} supervises")
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)

    def empty_broker(self, fault: Fault) -> None:
        if self.direct_broker.startswith("redis"):
            import redis

            with redis.Redis.from_url(self.direct_broker) as client:
                client.flushdb()
        elif self.direct_broker.startswith("director"):
            from django_director.broker.models import Message

            Message.objects.all().delete()
        else:
            with current_app.connection_for_write(self.direct_broker) as broker, broker.channel() as channel:
                channel.queue_declare("celery", durable=True, auto_delete=False)
                channel.queue_purge("celery")

    def freeze_broker(self, fault: Fault) -> None:
        self._break("broker", Proxy.freeze, fault)

    def freeze_database(self, fault: Fault) -> None:
        self._break("database", Proxy.freeze, fault)

    def cut_broker(self, fault: Fault) -> None:
        self._break("broker", Proxy.cut, fault)

    def cut_database(self, fault: Fault) -> None:
        self._break("database", Proxy.cut, fault)

    def reset_broker(self, fault: Fault) -> None:
        self.proxies["broker"].reset()

    def reset_database(self, fault: Fault) -> None:
        self.proxies["database"].reset()

    def delay_broker(self, fault: Fault) -> None:
        self._break("broker", lambda proxy: proxy.delay(100), fault)

    def delay_database(self, fault: Fault) -> None:
        self._break("database", lambda proxy: proxy.delay(100), fault)

    def terminate_backends(self, fault: Fault) -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                return
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = DATABASE()")
            for (process,) in cursor.fetchall():
                with contextlib.suppress(Exception):
                    cursor.execute(f"KILL {int(process)}")

    def duplicate(self, fault: Fault) -> None:
        """Messages of any age once more: of tasks that wait, run, or have ended; and of an earlier sequence."""
        newest = list(Task.objects.select_related("run__version").order_by("-run_id")[:200])
        for task in random.Random(fault.at).sample(newest, min(20, len(newest))):
            version = task.run.version.content_hash
            for sequence in {task.sequence, max(task.sequence - 1, 0)}:
                publisher.publish([outbox.message_of(task, version, sequence=sequence)])

    def _lock(self, rows: Any, run: str, fault: Fault) -> None:
        """Hold a row of what is active in a transaction that does nothing."""
        found = list(rows.order_by("pk").values_list("pk", run)[:100])
        if not found:
            self.note(f"{fault.kind}: nothing is active")
            return
        pk, run_id = found[int(fault.at * 100) % len(found)]
        begin = datetime.now(UTC)
        try:
            with transaction.atomic():
                list(rows.model.objects.select_for_update().filter(pk=pk).values_list("pk"))
                time.sleep(_bearable(fault.seconds))
        finally:
            # A lease that could not be renewed may be found over a moment after the lock.
            end = datetime.now(UTC) + timedelta(seconds=float(director.LEASE))
            self.locked[run_id].append((begin, end))

    def _break(self, which: str, how: Any, fault: Fault) -> None:
        if which == "database":
            self._held_until = datetime.now(UTC) + timedelta(seconds=fault.seconds + PASSING_SECONDS)
        how(self.proxies[which])
        time.sleep(fault.seconds)
        self.proxies[which].heal()

    @contextlib.contextmanager
    def _hit(self, worker: Worker, since: datetime | None = None) -> Any:
        begin = since or datetime.now(UTC)
        yield
        end = datetime.now(UTC) + timedelta(seconds=PASSING_SECONDS)
        self.hits[worker.hostname].append((begin, max(end, self._held_until)))

    def _manage(self) -> None:
        """Start again what has ended by itself, as every site's process manager does."""
        while not self._stop.wait(1):
            try:
                self._start_again(wait=False)
            except Exception as error:
                self.note(f"a program could not be started: {error!r}")

    def _start_again(self, *, wait: bool) -> None:
        for index, lock in enumerate(self.locks):
            if lock.acquire(blocking=wait):
                try:
                    self._start_worker_again(index)
                finally:
                    lock.release()
        with self._supervisor_lock:
            if _has_ended(self.supervisor):
                self.supervisor = self._new_supervisor()

    def _start_worker_again(self, index: int) -> None:
        worker = self.workers[index]
        if not _has_ended(worker):
            self._seen[worker.hostname] = datetime.now(UTC)
            return
        self.note(f"{worker.hostname} had ended by itself")
        self.restarted += 1
        with self._hit(worker, self._seen[worker.hostname]):
            worker.kill()
        self.workers[index] = self._new_worker()

    def _wait_until_up(self) -> None:
        """Until each worker takes messages again, and nobody spares the broker any more."""
        began = time.monotonic()
        missing = {worker.hostname for worker in self.workers}
        with current_app.connection_for_write(self.direct_broker) as broker:
            while missing and time.monotonic() - began < UP_SECONDS:
                answers = current_app.control.ping(list(missing), timeout=1, connection=broker)
                missing -= {name for answer in answers for name in answer}
        for hostname in missing:
            self.note(f"{hostname} did not answer within {UP_SECONDS} s")
        time.sleep(max(0.0, began + publisher.COOL_DOWN - time.monotonic()))
        self.note("all is up")

    def _new_worker(self) -> Worker:
        hold = self.folder / f"hold-{len(self.programs)}"
        fault = f"finish.updated:hold:{hold}"
        worker = Worker(self.broker, self.folder, concurrency=CONCURRENCY, DIRECTOR_FAULT=fault, **self.environ)
        self._holds[worker.hostname] = hold
        self.programs.append(worker)
        worker.start()
        return worker

    def _new_supervisor(self) -> Supervisor:
        supervisor = Supervisor(self.broker, self.folder, **self.environ)
        self.programs.append(supervisor)
        supervisor.start()
        return supervisor


def _bearable(seconds: float) -> float:
    """For so long a lock is held: SQLite's is one for all, and as if the database were away."""
    return min(seconds, SQLITE_SECONDS) if connection.vendor == "sqlite" else seconds


def _has_ended(program: Program) -> bool:
    return program.process is None or program.process.poll() is not None
