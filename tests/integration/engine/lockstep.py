"""Play the same events to the engine and to the reference interpreter, and compare them after each."""

from __future__ import annotations

from django_director import engine
from django_director.definitions import ApprovalStep, Definition, MapStep, WorkflowStep
from django_director.engine import stopping
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim
from django_director.engine.attempts.failures import Failure
from django_director.engine.steps import child_workflows, timers
from django_director.engine.supervisor import timeouts
from django_director.exceptions import Conflict
from django_director.models import Run
from django_director.status import RunStatus
from django_director.worker import inputs, own_steps
from tests.factories import definition as make_definition
from tests.factories import make_workflow
from tests.random_definitions import CHILD, PAYLOAD

from . import driver
from .reference_maps import MapReference

PAST = "2026-01-01T00:00:00Z"


class Lockstep:
    """One run, and the reference's. Steps go by the names of the reference: tasks in maps are ``step[index]``."""

    def __init__(self, definition: Definition) -> None:
        make_workflow(definition)
        make_workflow(make_definition(CHILD, "X"))
        self.run: Run = engine.start(definition.name, PAYLOAD)
        self.reference = MapReference(definition, PAYLOAD)
        self.running: dict[str, Claim | Run] = {}
        self.compare()

    @property
    def queued(self) -> list[str]:
        return sorted(id for id, status in self.reference.known.items() if status == "queued")

    @property
    def waiting(self) -> list[str]:
        """What waits for a time or for people, and for nothing else."""
        found = sorted(id for id, status in self.reference.rows.items() if status == "waiting")
        return [id for id in found if not isinstance(self.reference.steps[id], MapStep | WorkflowStep)]

    def start(self, id: str) -> None:
        """Let a worker take a queued step."""
        if id in self.reference.places:
            self._start_item(id)
        else:
            self._start_step(id)
        self.reference.start(id)
        self._carry_on()

    def _start_step(self, id: str) -> None:
        claimed = driver.claim(self.run, id)
        step = self.reference.steps[id]
        if claimed.node.kind == "task" and not claimed.node.is_head:
            # What steps of other kinds receive nobody uses, so a claim does not read it.
            assert claimed.upstream == self.reference.received(step)
        if not inputs.evaluate_when(claimed):
            assert finish.skip(claimed, "when")
        elif claimed.node.is_head:
            assert finish.finish(claimed, True)
        elif claimed.node.kind == "workflow":
            assert own_steps.perform(claimed) is own_steps.HELD
            self.running[id] = driver.child_of(self.run, id)
        elif claimed.node.kind == "map":
            driver.end(claimed, lambda _: None)
        elif claimed.node.passes_on:
            assert own_steps.perform(claimed) is own_steps.HELD
        else:
            self.running[id] = claimed
            for value in inputs.evaluate_with(claimed).values():
                assert value == self.reference.value(self.reference.steps[step.needs[0]])

    def _start_item(self, id: str) -> None:
        place = self.reference.places[id]
        claimed = driver.claim(self.run, place.step.id, place.index)
        assert claimed.upstream == self.reference.item_received(id)
        if inputs.evaluate_when(claimed):
            self.running[id] = claimed
        else:
            assert finish.skip(claimed, "when")

    def end(self, id: str, way: str = "success") -> None:
        """End what runs: ``success`` or ``failed``, a child run also ``canceled`` or ``timeout``."""
        claimed = self.running.pop(id)
        if isinstance(claimed, Run):
            self._end_child(id, claimed, way)
        elif way == "failed":
            assert finish.fail(claimed, Failure(error="ValueError: drawn"))
        else:
            assert finish.finish(claimed, f"result of {id}")
        self.reference.end(id, "success" if way == "success" else "failed")
        self._carry_on()

    def _end_child(self, id: str, child: Run, way: str) -> None:
        if way == "success":
            driver.succeed(child, "X", f"result of {id}")
        elif way == "failed":
            driver.fail(child, "X")
        elif way == "canceled":
            engine.cancel(child)
        else:
            Run.objects.filter(pk=child.pk).update(deadline_at=PAST)
            assert timeouts.stop_overdue_runs(Run.objects.filter(pk=child.pk)) == 1
        stopping.continue_stop(child.pk)
        # A step whose time was up does not wait for the end.
        assert child_workflows.report(child.pk) == (way != "timeout")
        assert not Run.objects.filter(is_awaited=True, pk=child.pk).exists()

    def end_waiting(self, id: str, way: str) -> None:
        """Decide on what waits: ``time``, and an approval also ``approve`` or ``reject``."""
        task, step = self.run.tasks.get(step=id), self.reference.steps[id]
        if way == "time":
            self.run.tasks.filter(step=id).update(deadline_at=PAST)
            # Not on those of other examples: one that was given up may have left some, which are due by now.
            assert timers.fire(self.run.tasks.all()) == 1
            way = step.on_timeout if isinstance(step, ApprovalStep) else "approve"
        else:
            assert (engine.approve if way == "approve" else engine.reject)(task).is_finished
        self.reference.end(id, {"approve": "success", "reject": "failed", "skip": "skipped"}[way])
        self._carry_on()

    def retry(self) -> bool:
        """Retry a run that has ended; says whether that was possible."""
        if self.run.status != RunStatus.FAILED:
            return False
        engine.retry(self.run)
        self.reference.retry()
        self.compare()
        return True

    def steer(self, verb: str, id: str) -> bool:
        """Rerun or skip a step of a run that has ended; says whether that was possible."""
        place = self.reference.places.get(id)
        step, index = (id, -1) if place is None else (place.step.id, place.index)
        is_possible = getattr(self.reference, verb)(id)
        task = self.run.tasks.select_related("run__version").get(step=step, map_index=index)
        try:
            getattr(engine, verb)(task)
        except Conflict:
            assert not is_possible, f"{verb} of {id} was refused"
            return False
        assert is_possible, f"{verb} of {id} was not refused"
        self.compare()
        return True

    def _carry_on(self) -> None:
        if Run.objects.filter(pk=self.run.pk).exclude(stop="").exists():
            stopping.continue_stop(self.run.pk)
        self.compare()

    def compare(self) -> None:
        """Statuses, child runs, outcome, gates and result."""
        run = self.run
        run.refresh_from_db(fields=["status", "stop", "generation"])
        assert driver.statuses(run) == self.reference.known
        made = Run.objects.filter(parent_task__run=run).values_list("parent_task__step", "generation")
        assert sorted(made) == sorted((id, n) for id, runs in self.reference.children.items() for n in runs)
        outcome = self.reference.outcome()
        assert run.status == (outcome or RunStatus.RUNNING)
        assert bool(run.stop) == self.reference.is_stopped
        if not run.stop:
            driver.check_gates(run)
        if run.status == RunStatus.SUCCESS:
            assert run.result == self.reference.value(self.reference.root)
