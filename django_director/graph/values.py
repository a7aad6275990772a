"""The expressions of a graph: which tasks they use, and their values. A process compiles them once for a graph."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django_director.definitions import Container, MapStep, Step
from django_director.exceptions import ExpressionError
from django_director.expressions import Expression, Reference, Template, compile_expression, compile_value
from django_director.status import TaskStatus

from .compiled_graph import Graph, Node
from .rules import Tally, tally_of
from .shapes import NOTHING, Shape, Span, expand, spans


class Outcome(NamedTuple):
    """The status and the result of a task that has ended, and the decision of an approval."""

    status: str
    result: Any
    decision: Any = None


class StoredList(NamedTuple):
    """The place of a list in the result of one task."""

    position: int
    keys: tuple[str, ...]
    """The keys that lead from the result to the list."""


UNDECIDED: Final[Mapping[str, Any]] = MappingProxyType({"approved": None, "by": None, "comment": "", "at": None})
"""The decision of an approval that did not run, or whose time was up before anybody answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A step or a container as expressions see it: the shape of its result, and the positions of its tasks."""

    shape: Shape
    tasks: tuple[int, ...]
    is_container: bool = False

    def status(self, graph: Graph, outcomes: Mapping[int, Outcome]) -> str:
        """Return its status, by the outcomes of its tasks.

        A container is failed if one of its tasks is, skipped if all are, and else a success.
        """
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
    """The expressions of one step, or of the workflow itself, by their keys in the file."""

    graph: Graph
    parts: Mapping[str, Any]
    """Compiled expressions and templates; any other value is a constant."""
    error: ExpressionError | None = None
    """The error of an expression that could not be compiled."""

    def evaluate(self, key: str, names: Mapping[str, Any], missing: object = None) -> Any:
        """Return the value under ``key``, or ``missing`` if nothing stands there. Raises ``ExpressionError``."""
        if self.error is not None:
            raise self.error
        part = self.parts.get(key, missing)
        return part.evaluate(names) if isinstance(part, Expression | Template) else part

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """All values that the expressions use."""
        parts = (part for part in self.parts.values() if isinstance(part, Expression | Template))
        return tuple(reference for part in parts for reference in part.references)

    @cached_property
    def results(self) -> tuple[Span, ...]:
        """The positions of the tasks whose results are used."""
        return spans(p for view, field in self._used() if field == "result" for p in expand(view.shape.spans()))

    @cached_property
    def tasks(self) -> tuple[Span, ...]:
        """The positions of the tasks of which the result, the status or the decision is used."""
        used = {p for view, field in self._used() if field != "result" for p in view.tasks}
        return spans(used.union(expand(self.results)))

    @cached_property
    def has_decisions(self) -> bool:
        """Whether a decision is used."""
        return any(field == "decision" for _, field in self._used())

    def names(self, outcomes: Mapping[int, Outcome], **others: object) -> dict[str, Any]:
        """Return the names that the expressions may use, from the outcomes of ``tasks`` and ``others``."""
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
        """Whether an expression uses the item of a map."""
        return any(reference.root == "item" for reference in self.references)

    @cached_property
    def uses_payload(self) -> bool:
        """Whether an expression uses the payload of the run."""
        return any(reference.root == "payload" for reference in self.references)

    def _used(self) -> Iterator[tuple[View, str]]:
        for reference in self._to_tasks:
            yield views_of(self.graph)[str(reference.path[0])], str(reference.path[1])


def of_node(graph: Graph, node: Node) -> Values | None:
    """Return the expressions that a worker evaluates before it runs a node; ``None`` if there are none."""
    step = node.step
    expressions, templates = step.expressions(), step.templates()
    if stored_list(graph, node) is not None:
        # It is not evaluated: the list is read in pieces.
        expressions = {}
    if step.when is None and not expressions and not templates:
        return None
    return _kept(graph, node.position, {"when": step.when, **expressions}, templates)


def stored_list(graph: Graph, node: Node) -> StoredList | None:
    """Return where the list of a map stands, if its `over` is nothing but the path to a list in one task's result.

    The engine reads such a list in pieces. ``None`` for other steps, and for maps whose `over` is evaluated.
    """
    if not isinstance(node.step, MapStep):
        return None
    found: StoredList | None = graph.keep(("list", node.position), lambda: _find_list(graph, node.step))
    return found


def _find_list(graph: Graph, step: Step) -> StoredList | None:
    over = compile_expression(step.over) if isinstance(step, MapStep) and isinstance(step.over, str) else None
    root, *path = (over.path if over is not None else ()) or ("",)
    if root != "tasks" or path[1] != "result" or path[0] not in views_of(graph):
        return None
    position, keys = views_of(graph)[path[0]].shape.position, path[2:]
    # The result of a map stands in the rows of its items. Other keys mean different things to different databases.
    if position is None or position in graph.maps or not all(map(_is_name, keys)):
        return None
    return StoredList(position, tuple(keys))


def _is_name(key: object) -> bool:
    return isinstance(key, str) and key.isascii() and key.isidentifier()


def of_over(graph: Graph, node: Node) -> Values:
    """Return the expression of a map's `over`, under the key ``over``."""
    assert isinstance(node.step, MapStep)
    values = _kept(graph, ("over", node.position), {"over": node.step.over}, {})
    assert values is not None
    return values


def of_result(graph: Graph) -> Values | None:
    """Return the expression of the run's result, under the key ``result``; ``None`` if there is none."""
    if graph.definition.result is None:
        return None
    return _kept(graph, "result", {"result": graph.definition.result}, {})


def of_concurrency(graph: Graph) -> Values | None:
    """Return the expression for the concurrency key of a run, under the key ``key``; ``None`` if there is none."""
    concurrency = graph.definition.concurrency
    if concurrency is None or concurrency.key is None:
        return None
    return _kept(graph, "key", {"key": concurrency.key}, {})


def _kept(
    graph: Graph, key: Hashable, expressions: Mapping[str, object], templates: Mapping[str, object]
) -> Values | None:
    return graph.keep(key, lambda: _compile(graph, expressions, templates))


def _compile(graph: Graph, expressions: Mapping[str, object], templates: Mapping[str, object]) -> Values | None:
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
        unknown = [str(r.path[0]) for r in values._to_tasks if str(r.path[0]) not in views_of(graph)]
        if unknown:
            raise ExpressionError(f"there is no step “{unknown[0]}”")
    except ExpressionError as error:
        return Values(graph=graph, parts={}, error=error)
    return values if parts else None


def _is_plain(value: object) -> bool:
    """Whether a value contains no ``${{ … }}``, not even one with a constant."""
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return not isinstance(value, str) or "${{" not in value


def views_of(graph: Graph) -> dict[str, View]:
    """Return every step and container by its id, as expressions see them."""
    return graph.keep("views", lambda: _make_views(graph))


def _make_views(graph: Graph) -> dict[str, View]:
    found: dict[str, View] = {}
    _view_all(graph.definition.tasks, _Places(graph, iter(graph.file_order)), found)
    for node in graph.bodies:
        # The only task of a map with `task:` has the id of the map. An expression with that id means the map.
        found.setdefault(node.step.id, View(shape=Shape(position=node.position), tasks=(node.position,)))
    return found


class _Places(NamedTuple):
    graph: Graph
    positions: Iterator[int]
    """The positions that have not been used yet, in the order of the file."""


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
