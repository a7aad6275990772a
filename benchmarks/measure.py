"""One measurement: wall time, CPU of every server involved, and when the tasks ran."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from .stamps import Stamp

if TYPE_CHECKING:
    from .contenders import Contender

STILL = 0.1
"""Seconds without CPU use after which a worker has put away its last task."""

Meter = Callable[[], Mapping[int, float]]
"""Reads CPU seconds so far, by the process or tree that they belong to."""

Scenario = Callable[["Contender"], int]
"""Runs something to its end and returns how many tasks that were."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one run of a scenario cost. Seconds throughout."""

    wall: float
    tasks: int
    cpu: Mapping[str, float]
    begun: float = 0.0
    starting: float = 0.0
    stamps: Sequence[Stamp] = field(default=(), repr=False)

    @property
    def cpu_per_task(self) -> float:
        """Of worker, broker and database together."""
        return sum(self.cpu.values()) / self.tasks

    @property
    def rate(self) -> float:
        """Tasks per second."""
        return self.tasks / self.wall

    @property
    def gaps(self) -> list[float]:
        """From the end of each task to the start of the next: the steps of a chain."""
        return [later[0] - earlier[1] for earlier, later in zip(self.stamps, self.stamps[1:], strict=False)]

    @property
    def step(self) -> float:
        """The median gap."""
        return median(self.gaps)

    @property
    def first(self) -> float:
        """From the call that starts to the first task."""
        return self.stamps[0][0] - self.begun


def measure(contender: Contender, scenario: Scenario) -> Sample:
    """Run ``scenario`` once."""
    before = {role: meter() for role, meter in contender.meters.items()}
    ran = contender.stamps.count
    begun = time.monotonic()
    tasks = scenario(contender)
    wall = time.monotonic() - begun
    settle(contender.meters["worker"])
    cpu = {role: cpu_between(before[role], meter()) for role, meter in contender.meters.items()}
    stamps = contender.stamps.since(ran)
    return Sample(wall=wall, tasks=tasks, cpu=cpu, begun=begun, starting=contender.starting, stamps=stamps)


def paired(contenders: Iterable[Contender], scenario: Scenario, repeat: int) -> dict[str, list[Sample]]:
    """Samples by contender, taken in turn; see ``in_turn``."""
    return in_turn({contender.name: (contender, scenario) for contender in contenders}, repeat)


def in_turn(cases: Mapping[str, tuple[Contender, Scenario]], repeat: int) -> dict[str, list[Sample]]:
    """Samples by the names of cases, taken in turn (A B A B …) so that what disturbs the machine disturbs all."""
    samples: dict[str, list[Sample]] = {name: [] for name in cases}
    for _ in range(repeat):
        for name, (contender, scenario) in cases.items():
            contender.warm_up()
            samples[name].append(measure(contender, scenario))
    return samples


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of pairs: each pair met the same disturbance."""
    return median(mine / other if other else math.inf for mine, other in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value with at least ``percent`` % of all values at or below it."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def cpu_between(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """CPU seconds between two readings; what began in between counts from nothing, what ended not at all."""
    return sum(seconds - before.get(key, 0.0) for key, seconds in after.items())


def settle(reading: Meter, longest: float = 2.0) -> None:
    """Wait until a meter stands still: acknowledgements and results may follow the last task."""
    deadline, last, since = time.monotonic() + longest, -1.0, 0.0
    while time.monotonic() < deadline:
        present = sum(reading().values())
        if present != last:
            last, since = present, time.monotonic()
        elif time.monotonic() - since > STILL:
            return
        time.sleep(0.02)
