"""What a workflow means, written down without the engine: no graph, no counters, no database.

An interpreter that looks at all steps after each event, for the tests that compare the engine with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django_director.definitions import ApprovalStep, Container, Definition, Step, TaskStep, WaitStep, WorkflowStep

SPARED = {"always", "any_failed"}
ENDED = {"success", "failed", "skipped", "upstream_failed", "canceled"}


class Head:
    """What decides whether the members of a container with a condition run."""

    def __init__(self, container: Container) -> None:
        self.container = container


Entry = Step | Head


class Reference:
    def __init__(self, definition: Definition, payload: dict[str, Any]) -> None:
        self.definition, self.payload = definition, payload
        self.root = Container(id="", kind="chain", members=definition.tasks)
        self.steps: dict[str, Step] = {}
        self.outer: dict[str, Container] = {}
        self.heads: dict[str, Head] = {}
        self._read(self.root)
        self.rows = {
            id: "pending" for id, step in self.steps.items() if not isinstance(step, Container) or id in self.heads
        }
        self.children: dict[str, list[int]] = {}
        """How often each child run of a step was taken up again, the last one last."""
        self.payloads: dict[str, Any] = {}
        """That of the child run with which a step would go on."""
        self.is_stopped = False
        self._judge()

    def _read(self, container: Container) -> None:
        for step in container.members:
            self.steps[step.id], self.outer[step.id] = step, container
            if isinstance(step, Container):
                if step.is_conditional:
                    self.heads[step.id] = Head(step)
                self._read(step)

    # What waits for what

    def around(self, step: Step) -> Head | None:
        """The head of the nearest container around a step that has a condition."""
        outer = self.outer.get(step.id)
        while outer is not None and outer.id not in self.heads:
            outer = self.outer.get(outer.id)
        return None if outer is None else self.heads[outer.id]

    def is_inside(self, step: Step, container: Container) -> bool:
        outer = self.outer.get(step.id)
        return outer is not None and (outer is container or self.is_inside(outer, container))

    def before(self, step: Step) -> list[Entry]:
        """The entries that a step waits for, as the file says it."""
        if step.needs is not None:
            return [self.steps[name] for name in step.needs] or self._head(step)
        outer = self.outer[step.id]
        place = outer.members.index(step)
        if outer.kind == "chain" and place:
            return [outer.members[place - 1]]
        if outer is self.root:
            return []
        return [self.heads[outer.id]] if outer.id in self.heads else self.before(outer)

    def _head(self, step: Step) -> list[Entry]:
        head = self.around(step)
        return [head] if head else []

    def waits_for(self, step: Step) -> list[Entry]:
        """The same, with what empty containers stand for: what is before them, and what lets them run."""
        found: list[Entry] = []
        for entry in self.before(step):
            if isinstance(entry, Head) or not self.is_empty(entry):
                found.append(entry)
                continue
            found += self.waits_for(entry)
            head = self.around(entry)
            if head and not self.is_inside(step, head.container):
                found.append(head)
        inner = self.around(step)
        others = [entry for entry in found if entry is not inner]
        return list({id(entry): entry for entry in others}.values()) or self._head(step)

    def is_empty(self, step: Step) -> bool:
        return isinstance(step, Container) and step.id not in self.heads and all(map(self.is_empty, step.members))

    def ids(self, entry: Entry) -> Iterator[str]:
        """The rows that tell how an entry has ended."""
        if isinstance(entry, Head):
            yield entry.container.id
        elif not isinstance(entry, Container):
            yield entry.id
        else:
            members = [id for member in entry.members for id in self.ids(member)]
            yield from members or ([entry.id] if entry.id in self.heads else [])

    # What has become of it

    def is_forgiven(self, id: str) -> bool:
        step = self.steps[id]
        return self.rows[id] == "failed" and isinstance(step, TaskStep) and step.continue_on_error

    def status(self, entry: Entry) -> str:
        """As it counts for others."""
        statuses = ["success" if self.is_forgiven(id) else self.rows[id] for id in self.ids(entry)]
        if any(status in ("failed", "upstream_failed", "canceled") for status in statuses):
            return "failed"
        return "skipped" if set(statuses) == {"skipped"} else "success"

    def ends(self, entry: Entry) -> Iterator[str]:
        """The rows after which nothing comes in an entry."""
        if isinstance(entry, Head) or not isinstance(entry, Container):
            yield from self.ids(entry)
            return
        inside = [step for step in self.steps.values() if step.id in self.rows and self.is_inside(step, entry)]
        followed = {id(found) for step in inside for found in self.waits_for(step)}
        last = [member for member in entry.members if id(member) not in followed and not self.is_empty(member)]
        ends = [id for member in last for id in self.ends(member)]
        yield from ends or ([entry.id] if entry.id in self.heads else [])

    def status_by_ends(self, entry: Entry) -> str:
        statuses = {"success" if self.is_forgiven(id) else self.rows[id] for id in self.ends(entry)}
        if "success" in statuses:
            return "success"
        return "skipped" if statuses == {"skipped"} else "failed"

    def has_ended(self, id: str) -> bool:
        """What was canceled keeps its place in the order."""
        if self.rows[id] == "canceled":
            return all(map(self.has_ended, self._before(self.steps[id])))
        return self.rows[id] in ENDED

    def verdict(self, step: Step) -> str | None:
        """What becomes of a pending row now; ``None``: nothing yet."""
        head = self.around(step)
        if head is not None:
            decision = self.rows[head.container.id]
            if not self.has_ended(head.container.id):
                return None
            if decision != "success":
                return "skipped" if decision == "skipped" else "upstream_failed"
        entries = self.waits_for(step)
        if not all(self.has_ended(id) for entry in entries for id in self.ids(entry)):
            return None
        look = self.status_by_ends if step.trigger_rule == "any_success" else self.status
        statuses = [look(entry) for entry in entries]
        holds = {
            "none_failed": "failed" not in statuses,
            "all_success": set(statuses) <= {"success"},
            "any_success": "success" in statuses,
            "any_failed": "failed" in statuses,
            "always": True,
        }
        if holds[step.trigger_rule]:
            return "queued"
        return "upstream_failed" if "failed" in statuses else "skipped"

    def value(self, step: Step) -> Any:
        if isinstance(step, ApprovalStep | WaitStep):
            return self.received(step)
        if not isinstance(step, Container):
            return f"result of {step.id}" if self.rows[step.id] == "success" else None
        if step.kind == "chain":
            return self.value(step.members[-1]) if step.members else None
        if step.id in self.heads and self.rows[step.id] != "success":
            return None
        return [self.value(member) for member in step.members]

    def received(self, step: Step) -> Any:
        if step.needs is not None:
            values = [self.value(self.steps[name]) for name in step.needs]
            return values if len(values) > 1 else values[0] if values else None
        outer = self.outer[step.id]
        place = outer.members.index(step)
        if outer.kind == "chain" and place:
            return self.value(outer.members[place - 1])
        return None if outer is self.root else self.received(outer)

    # What happens

    def start(self, id: str) -> None:
        """A worker takes a queued row."""
        when = self.steps[id].when
        self.rows[id] = "running"
        if when is not None and not self.holds(when):
            self.end(id, "skipped")
        elif id in self.heads:
            self.end(id, "success")
        elif isinstance(self.steps[id], ApprovalStep | WaitStep):
            self.rows[id] = "waiting"
        elif isinstance(self.steps[id], WorkflowStep):
            self.take_up(id)

    def take_up(self, id: str) -> None:
        """Start a child run, or let the one there is go on if it would be given the same."""
        needs = self.steps[id].needs
        payload = {"seen": self.value(self.steps[needs[0]])} if needs else {}
        runs = self.children.setdefault(id, [])
        if self.payloads.get(id) == payload:
            runs[-1] += 1
        else:
            runs.append(0)
        self.payloads[id] = payload
        self.rows[id] = "waiting"

    def holds(self, when: Any) -> bool:
        if not isinstance(when, str):
            return bool(when)
        if match := re.fullmatch(r'tasks\["(.*)"\]\.status == "(.*)"', when):
            step = self.steps[match[1]]
            status = self.status(step) if isinstance(step, Container) else self.rows[step.id]
            return status == match[2]
        return bool(self.payload[when.removeprefix("payload.")])

    def end(self, id: str, status: str) -> None:
        self.rows[id] = status
        self._judge()
        if (
            status == "failed"
            and not self.is_forgiven(id)
            and self.definition.fail_fast
            and self.outcome() is None
        ):
            self.stop()

    def stop(self) -> None:
        """Nothing more starts but what is spared."""
        self.is_stopped = True
        for other, known in self.rows.items():
            if self.can_be_canceled(other, known) and not self.is_spared(self.steps[other]):
                self.rows[other] = "canceled"
        self._judge()

    def can_be_canceled(self, id: str, status: str) -> bool:
        """What runs goes on, a child run as well."""
        has_child = isinstance(self.steps[id], WorkflowStep) and status == "waiting"
        return status in ("pending", "queued", "waiting") and not has_child

    def is_spared(self, step: Step) -> bool:
        outer = self.outer.get(step.id)
        return step.trigger_rule in SPARED or (outer is not None and self.is_spared(outer))

    def _judge(self) -> None:
        changed = True
        while changed:
            changed = False
            for id, status in self.rows.items():
                new = self.verdict(self.steps[id]) if status == "pending" else None
                if new is not None:
                    self.rows[id] = new
                    changed = True

    def outcome(self) -> str | None:
        if not set(self.rows.values()) <= ENDED:
            return None
        return (
            "failed"
            if any(s in ("failed", "canceled") and not self.is_forgiven(id) for id, s in self.rows.items())
            else "success"
        )

    def retry(self) -> None:
        """What failed for good or was canceled, and everything after it, is as if it had never been."""
        again = {id for id, s in self.rows.items() if s in ("failed", "canceled") and not self.is_forgiven(id)}
        self._reset(self._downstream(again))

    def rerun(self, id: str) -> bool:
        """The same for one row, if it runs then: not if what is before it keeps it from that."""
        if not self._would_run(id):
            return False
        self._reset(self._downstream({id}))
        return True

    def _would_run(self, id: str) -> bool:
        kept = dict(self.rows), dict(self.payloads), self.is_stopped
        self._reset(self._downstream({id}))
        would = self.rows[id] == "queued"
        self.rows, self.payloads, self.is_stopped = kept
        return would

    def skip(self, id: str) -> bool:
        """What failed or was canceled, and would run again, is as if a condition had skipped it."""
        if self.rows[id] not in ("failed", "canceled") or not self._would_run(id):
            return False
        self.rows[id] = "skipped"
        self._reset(self._downstream({id}) - {id})
        return True

    def _reset(self, again: set[str]) -> None:
        for id in again:
            if self.rows[id] in ("success", "skipped"):
                self.payloads.pop(id, None)
        self.rows |= dict.fromkeys(again, "pending")
        self.is_stopped = False
        self._judge()

    def _downstream(self, chosen: set[str]) -> set[str]:
        while more := {id for id in self.rows if id not in chosen and chosen & self._before(self.steps[id])}:
            chosen |= more
        return chosen

    def _before(self, step: Step) -> set[str]:
        return {id for entry in [*self.waits_for(step), *self._head(step)] for id in self.ids(entry)}
