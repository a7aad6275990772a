"""Which steps receive a result from the steps before them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django_director.definitions.definition import Definition, Step, TaskStep
from django_director.definitions.kinds import Container


def with_upstream(definition: Definition) -> Iterator[tuple[TaskStep, bool]]:
    """Yield each Celery task in the order of the file, hooks last, and whether it receives a result."""
    received = _Received(definition.tasks)
    yield from _tasks(definition.tasks, received)
    for hooks in definition.hooks.values():
        for number, hook in enumerate(hooks):
            yield hook, number > 0


def _tasks(steps: Iterable[Step], received: _Received) -> Iterator[tuple[TaskStep, bool]]:
    for step in steps:
        if isinstance(step, TaskStep):
            yield step, received.receives(step)
        yield from _tasks(step.members, received)
        # The item, and then the result before it.
        yield from ((member, True) for member in step.body)


class _Received:
    """Knows what stands before each step. Waits and approvals pass on what they received."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.by_id: dict[str, Step] = {}
        self.before: dict[str, tuple[Step, ...]] = {}
        self.known: dict[str, bool] = {}
        self.collect(steps)
        self.place(steps, (), in_order=True)

    def collect(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self.by_id[step.id] = step
            self.collect(step.members)

    def place(self, steps: Iterable[Step], before: tuple[Step, ...], *, in_order: bool) -> None:
        for step in steps:
            own = before
            if step.needs is not None:
                own = tuple(self.by_id[name] for name in step.needs if name in self.by_id)
                if len(own) < len(step.needs):
                    # The name is wrong, and is reported; not what follows from it.
                    self.known[step.id] = True
            self.before[step.id] = own
            if isinstance(step, Container):
                self.place(step.members, own, in_order=step.kind == "chain")
            if in_order:
                before = (step,)

    def receives(self, step: Step) -> bool:
        """Return whether a step receives a result."""
        path: set[str] = set()
        answer = None
        while answer is None:
            if step.id in self.known:
                answer = self.known[step.id]
            elif step.id in path:
                # The steps wait for each other, which is reported.
                answer = True
            else:
                path.add(step.id)
                answer, step = self.find_source(step)
        self.known.update(dict.fromkeys(path, answer))
        return answer

    def find_source(self, step: Step) -> tuple[bool | None, Step]:
        """Return whether a step receives a result; or ``None`` and the step before it that passes on its own."""
        before = self.before[step.id]
        if len(before) != 1:
            return bool(before), step
        source = before[0]
        while isinstance(source, Container) and source.kind == "chain":
            if not source.members:
                return False, step
            source = source.members[-1]
        return (None, source) if source.passes_on else (True, step)
