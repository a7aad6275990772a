"""The expressions of a graph: what they use, and what they give. Compiled once for a graph in a process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django_director.definitions import Container, Step
from django_director.exceptions import ExpressionError
from django_director.expressions import Expression, Reference, Template, compile_expression, compile_value
from django_director.status import TaskStatus

from .model import Graph, Node
from .rules import Tally, tally_of
from .shapes import NOTHING, Shape, Span, expand, spans


class Outcome(NamedTuple):
    """How a task has ended."""

    status: str
    result: Any
    decision: Any = None


UNDECIDED: Final[Mapping[str, Any]] = MappingProxyType({"approved": None, "by": None, "comment": "", "at": None})
"""The decision of an approval that nobody was asked for, or whose answer was not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A step or a container as expressions see it."""

    shape: Shape
    tasks: tuple[int, ...]
    is_container: bool = False

    def status(self, graph: Graph, outcomes: Mapping[int, Outcome]) -> str:
        """Of a container: failed if a task of it is, skipped if all are, else success."""
        if not self.is_container:
            return outcomes[self.tasks[0]].status
        counted = Tally()
        for position in self.tasks:
            counted.add(tally_of(outcomes[position].status, is_forgiven=graph.nodes[position].is_forgiven))
        if counted.failed:
            return TaskStatus.FAILED
        return TaskStatus.SKIPPED if 0 < counted.skipped == len(self.tasks) else TaskStatus.SUCCESS


@dataclass(frozen=True, kw_only=True)
class Values:
    """The expressions of one place, by the key they stand at."""

    graph: Graph
    parts: Mapping[str, Any]
    """Expressions and templates; anything else stands for itself."""
    error: ExpressionError | None = None
    """Why one of them could not be compiled."""

    def evaluate(self, key: str, names: Mapping[str, Any], missing: Any = None) -> Any:
        """Return the value of what stands at ``key``, or ``missing``. Raises ``ExpressionError``."""
        if self.error is not None:
            raise self.error
        part = self.parts.get(key, missing)
        return part.evaluate(names) if isinstance(part, Expression | Template) else part

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        parts = (part for part in self.parts.values() if isinstance(part, Expression | Template))
        return tuple(reference for part in parts for reference in part.references)

    @cached_property
    def results(self) -> tuple[Span, ...]:
        """The tasks whose results are used."""
        return spans(p for view, field in self._used() if field == "result" for p in expand(view.shape.spans()))

    @cached_property
    def tasks(self) -> tuple[Span, ...]:
        """The tasks of which anything is used."""
        used = {p for view, field in self._used() if field != "result" for p in view.tasks}
        return spans(used.union(expand(self.results)))

    @cached_property
    def has_decisions(self) -> bool:
        """Whether a decision is used."""
        return any(field == "decision" for _, field in self._used())

    def names(self, outcomes: Mapping[int, Outcome], **others: Any) -> dict[str, Any]:
        """What the expressions know, from the outcomes of ``tasks``."""
        results = {position: outcome.result for position, outcome in outcomes.items()}
        known: dict[str, dict[str, Any]] = {}
        for reference, (view, field) in zip(self._to_tasks, self._used(), strict=True):
            step = known.setdefault(str(reference.path[0]), {})
            if field == "result" and field not in step:
                step[field] = view.shape.assemble(results)
            elif field == "status" and field not in step:
                step[field] = view.status(self.graph, outcomes)
            elif field == "decision" and field not in step:
                step[field] = outcomes[view.tasks[0]].decision or dict(UNDECIDED)
        return {"tasks": known, **others}

    @cached_property
    def _to_tasks(self) -> tuple[Reference, ...]:
        return tuple(reference for reference in self.references if reference.root == "tasks")

    @cached_property
    def uses_item(self) -> bool:
        """Whether the item of a map is used."""
        return any(reference.root == "item" for reference in self.references)

    def _used(self) -> Iterator[tuple[View, str]]:
        for reference in self._to_tasks:
            yield self.graph.views[str(reference.path[0])], str(reference.path[1])


def of_node(graph: Graph, node: Node) -> Values | None:
    """What a worker evaluates before a node, if there is something, by the keys of the file."""
    step = node.step
    expressions, templates = step.expressions(), step.templates()
    if step.when is None and not expressions and not templates:
        return None
    return _kept(graph, node.position, {"when": step.when, **expressions}, templates)


def of_result(graph: Graph) -> Values | None:
    """The expression of the run's result, under ``result``, if there is one."""
    if graph.definition.result is None:
        return None
    return _kept(graph, _RESULT, {"result": graph.definition.result}, {})


def of_concurrency(graph: Graph) -> Values | None:
    """The expression that says with which runs a run shares its slots, under ``key``, if there is one."""
    concurrency = graph.definition.concurrency
    if concurrency is None or concurrency.key is None:
        return None
    return _kept(graph, _KEY, {"key": concurrency.key}, {})


_RESULT: Final = -1
_KEY: Final = -2


def _kept(graph: Graph, key: int, expressions: Mapping[str, Any], templates: Mapping[str, Any]) -> Values | None:
    if key not in graph.values:
        graph.values[key] = _compiled(graph, expressions, templates)
    kept: Values | None = graph.values[key]
    return kept


def _compiled(graph: Graph, expressions: Mapping[str, Any], templates: Mapping[str, Any]) -> Values | None:
    parts: dict[str, Any] = {}
    try:
        for key, value in expressions.items():
            if value is not None:
                parts[key] = compile_expression(value) if isinstance(value, str) else value
        for key, value in templates.items():
            template = compile_value(value)
            if not template.is_constant or not _is_plain(value):
                parts[key] = template
        values = Values(graph=graph, parts=parts)
        unknown = [str(r.path[0]) for r in values._to_tasks if str(r.path[0]) not in graph.views]
        if unknown:
            raise ExpressionError(f"there is no step “{unknown[0]}”")
    except ExpressionError as error:
        return Values(graph=graph, parts={}, error=error)
    return values if parts else None


def _is_plain(value: Any) -> bool:
    """Whether there is no ``${{ … }}`` in it, not even one of a constant."""
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return not isinstance(value, str) or "${{" not in value


def views(graph: Graph) -> dict[str, View]:
    """Every step and container by its id."""
    found: dict[str, View] = {}
    _view_all(graph.definition.tasks, _Places(graph, iter(graph.file_order)), found)
    for node in graph.bodies:
        # The only task of a map with `task:` has the map's id, by which nobody means the task.
        found.setdefault(node.step.id, View(shape=Shape(position=node.position), tasks=(node.position,)))
    return found


class _Places(NamedTuple):
    graph: Graph
    positions: Iterator[int]
    """Those that are left, in the order of the file."""


def _view_all(steps: Iterable[Step], places: _Places, found: dict[str, View]) -> list[View]:
    made = []
    for step in steps:
        view = found[step.id] = _view(step, places, found)
        made.append(view)
    return made


def _view(step: Step, places: _Places, found: dict[str, View]) -> View:
    if not isinstance(step, Container):
        node = places.graph.nodes[next(places.positions)]
        return View(shape=node.shape if node.passes_on else Shape(position=node.position), tasks=(node.position,))
    head = next(places.positions) if step.is_conditional else None
    members = _view_all(step.members, places, found)
    tasks = tuple(position for member in members for position in member.tasks)
    if head is not None and not tasks:
        tasks = (head,)
    if step.kind == "chain":
        shape = members[-1].shape if members else NOTHING
    else:
        shape = Shape(members=tuple(member.shape for member in members), head=head)
    return View(shape=shape, tasks=tasks, is_container=True)
