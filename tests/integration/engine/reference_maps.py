"""What maps mean, for the reference interpreter: rows for their items, named ``step[index]``."""

from __future__ import annotations

from typing import Any, NamedTuple

from django_director.definitions import Definition, MapStep, Step, TaskStep

from .reference import ENDED, SPARED, Reference

BROKEN = {"failed", "upstream_failed", "canceled"}
IN_WORK = {"queued", "running"}


class Place(NamedTuple):
    map: str
    index: int
    number: int
    """The place in the chain for the item."""
    step: TaskStep


class MapReference(Reference):
    def __init__(self, definition: Definition, payload: dict[str, Any]) -> None:
        self.item_rows: dict[str, str] = {}
        self.places: dict[str, Place] = {}
        super().__init__(definition, payload)

    @property
    def known(self) -> dict[str, str]:
        return self.rows | self.item_rows

    def map(self, id: str) -> MapStep:
        step = self.steps[id]
        assert isinstance(step, MapStep)
        return step

    def chains(self, id: str) -> list[list[str]]:
        """The rows of a map, by item."""
        found: dict[int, list[str]] = {}
        for label, place in self.places.items():
            if place.map == id:
                found.setdefault(place.index, []).append(label)
        return [found[index] for index in sorted(found)]

    # What has become of it

    def value(self, step: Step) -> Any:
        if not isinstance(step, MapStep):
            return super().value(step)
        if chains := self.chains(step.id):
            last = [labels[-1] for labels in chains]
            return [f"result of {label}" if self.item_rows[label] == "success" else None for label in last]
        return [] if self.rows[step.id] == "success" else None

    def item_received(self, label: str) -> Any:
        place = self.places[label]
        if place.number == 0:
            return self.map(place.map).over[place.index]
        before = self.chains(place.map)[place.index][place.number - 1]
        return f"result of {before}" if self.item_rows[before] == "success" else None

    def counts_as(self, label: str) -> str:
        status = self.item_rows[label]
        if status == "failed" and self.places[label].step.continue_on_error:
            return "success"
        return "failed" if status in BROKEN else status

    def item_status(self, labels: list[str]) -> str:
        statuses = {self.counts_as(label) for label in labels}
        return "failed" if "failed" in statuses else "skipped" if statuses == {"skipped"} else "success"

    def item_verdict(self, label: str) -> str | None:
        place = self.places[label]
        before = "success"
        if place.number:
            previous = self.chains(place.map)[place.index][place.number - 1]
            if self.item_rows[previous] not in ENDED:
                return None
            before = self.counts_as(previous)
        holds = {
            "none_failed": before != "failed",
            "all_success": before == "success",
            "any_success": before == "success",
            "any_failed": before == "failed",
            "always": True,
        }
        if holds[place.step.trigger_rule]:
            return "queued"
        return "upstream_failed" if before == "failed" else "skipped"

    def is_item_spared(self, label: str) -> bool:
        place = self.places[label]
        return place.step.trigger_rule in SPARED or self.is_spared(self.steps[place.map])

    # What happens

    def start(self, id: str) -> None:
        if id in self.places:
            self.item_rows[id] = "running"
            when = self.places[id].step.when
            if when == "index > 0":
                when = self.places[id].index > 0
            if when is not None and not self.holds(when):
                self.end(id, "skipped")
            return
        super().start(id)
        if isinstance(self.steps[id], MapStep) and self.rows[id] == "running":
            self._expand(self.map(id))

    def _expand(self, step: MapStep) -> None:
        if not step.over:
            self.end(step.id, "success")
            return
        self.rows[step.id] = "waiting"
        for index in range(len(step.over)):
            for number, member in enumerate(step.body):
                label = f"{member.id}[{index}]"
                self.item_rows[label] = "pending"
                self.places[label] = Place(step.id, index, number, member)
        self._judge()

    def end(self, id: str, status: str) -> None:
        if id not in self.places:
            super().end(id, status)
            return
        self.item_rows[id] = status
        place = self.places[id]
        if not self.is_stopped or self.is_spared(self.steps[place.map]):
            # The item is in work until all of it has ended.
            self._judge_item(self.chains(place.map)[place.index])
        self._judge()
        if self.counts_as(id) == "failed" and self.definition.fail_fast and self.outcome() is None:
            self.stop()

    def can_be_canceled(self, id: str, status: str) -> bool:
        """A map waits until its items have ended."""
        is_expanded = isinstance(self.steps[id], MapStep) and status == "waiting"
        return super().can_be_canceled(id, status) and not is_expanded

    def stop(self) -> None:
        for label, status in self.item_rows.items():
            if status in ("pending", "queued") and not self.is_item_spared(label):
                self.item_rows[label] = "canceled"
        super().stop()

    def _judge(self) -> None:
        before = None
        while before != self.known:
            before = self.known
            super()._judge()
            for id, status in self.rows.items():
                if isinstance(self.steps[id], MapStep) and status == "waiting":
                    self.rows[id] = self._judge_map(self.map(id))

    def _judge_map(self, step: MapStep) -> str:
        chains = self.chains(step.id)
        for labels in chains:
            in_work = sum(bool(IN_WORK & {self.item_rows[label] for label in others}) for others in chains)
            self._judge_item(labels, may_begin=step.max_parallel is None or in_work < step.max_parallel)
        if not all(self.item_rows[label] in ENDED for labels in chains for label in labels):
            return "waiting"
        statuses = {self.item_status(labels) for labels in chains}
        if "failed" in statuses:
            failed = any(
                self.item_rows[label] == "failed" and self.counts_as(label) == "failed"
                for labels in chains
                for label in labels
            )
            canceled = any(self.item_rows[label] == "canceled" for labels in chains for label in labels)
            return "failed" if failed or not canceled else "canceled"
        return "skipped" if statuses == {"skipped"} else "success"

    def _judge_item(self, labels: list[str], *, may_begin: bool = True) -> None:
        for label in labels:
            new = self.item_verdict(label) if self.item_rows[label] == "pending" else None
            if new is not None and (may_begin or new != "queued"):
                self.item_rows[label] = new

    # Steering

    def retry(self) -> None:
        again = {id for id, s in self.rows.items() if s in ("failed", "canceled") and not self.is_forgiven(id)}
        later = self._downstream(set(again))
        followers = {id for id in self.rows if self._before(self.steps[id]) & later}
        soft = {id for id in again - followers if self.chains(id)}
        for id in soft:
            for labels in self.chains(id):
                broken = (n for n, x in enumerate(labels) if self.item_rows[x] in ("failed", "canceled"))
                first = next((n for n in broken if self.counts_as(labels[n]) == "failed"), len(labels))
                self.item_rows |= dict.fromkeys(labels[first:], "pending")
        self._reset_all(later - soft, soft)

    def rerun(self, id: str) -> bool:
        if not self._would_run(id):
            return False
        self._reset_from(id)
        return True

    def _reset_from(self, id: str) -> None:
        if id in self.places:
            self._reset_item(id)
        else:
            self._reset_all(self._downstream({id}), set())

    def _would_run(self, id: str) -> bool:
        kept = (
            dict(self.rows),
            dict(self.item_rows),
            dict(self.places),
            dict(self.payloads),
            self.is_stopped,
        )
        self._reset_from(id)
        would = self.known[id] == "queued"
        self.rows, self.item_rows, self.places, self.payloads, self.is_stopped = kept
        return would

    def skip(self, id: str) -> bool:
        if self.known[id] not in ("failed", "canceled"):
            return False
        if not self._would_run(id):
            return False
        if id in self.places:
            self._reset_item(id, "skipped")
            return True
        self._forget({id})
        self.rows[id] = "skipped"
        self._reset_all(self._downstream({id}) - {id}, set())
        return True

    def _reset_item(self, label: str, status: str = "pending") -> None:
        place = self.places[label]
        labels = self.chains(place.map)[place.index]
        self.item_rows |= dict.fromkeys(labels[place.number :], "pending") | {label: status}
        self._reset_all(self._downstream({place.map}) - {place.map}, {place.map})

    def _reset_all(self, again: set[str], soft: set[str]) -> None:
        """``again`` as if it had never been, the maps ``soft`` as they were before their items ended."""
        self._forget(again)
        self.rows |= dict.fromkeys(soft, "waiting")
        self._reset(again)

    def _forget(self, maps: set[str]) -> None:
        for label in [label for label, place in self.places.items() if place.map in maps]:
            del self.places[label], self.item_rows[label]
