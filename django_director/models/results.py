"""Reads the results of runs and tasks.

The result of a run is that of the last entry of ``tasks``, or the value of the definition's ``result``. Results
that are larger than ``MAX_INPUT`` together are not read: no later step would get them, and no page should show
them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from uuid import UUID

from django_director.conf import director
from django_director.exceptions import DirectorError, ExpressionError, InputTooLarge
from django_director.graph import Graph, Outcome, Span, Values, expand, is_read_in_pieces, of_result
from django_director.masking.redaction import Redactor, shown_error
from django_director.masking.values import hidden_in, mask
from django_director.status import RunStatus

from .querysets import TaskQuerySet


class VersionRow(Protocol):
    """The attributes of a version that this module reads."""

    @property
    def graph(self) -> Graph: ...


class TaskRows(Protocol):
    """The questions that this module asks about the tasks of a run: a manager of tasks answers them."""

    def at(self, spans: Iterable[Span]) -> TaskQuerySet: ...
    def size_of_items(self, made: Mapping[int, int]) -> int: ...
    def lists_of_items(self, made: Mapping[int, int]) -> dict[int, list[Any]]: ...


class RunRow(Protocol):
    """The attributes of a run that this module reads."""

    @property
    def pk(self) -> UUID: ...
    @property
    def status(self) -> str: ...
    @property
    def payload(self) -> object: ...
    @property
    def facts(self) -> dict[str, Any]: ...
    @property
    def version(self) -> VersionRow: ...
    @property
    def tasks(self) -> TaskRows: ...


class TaskRow(Protocol):
    """The attributes of a task that this module reads."""

    @property
    def position(self) -> int: ...
    @property
    def map_count(self) -> int | None: ...
    @property
    def result(self) -> object: ...
    @property
    def is_finished(self) -> bool: ...
    @property
    def run(self) -> RunRow: ...


class ResultError(DirectorError):
    """The definition's ``result`` can't be evaluated; the text contains no secret."""


logger = logging.getLogger(__name__)


def size_limit(graph: Graph, position: int) -> int:
    """Return how many bytes the result of the task at a position may have, as JSON in UTF-8."""
    is_list = is_read_in_pieces(graph, position)
    limit: int = max(director.MAX_INPUT, director.MAX_RESULT) if is_list else director.MAX_RESULT
    return limit


def read_run_result(run: RunRow) -> tuple[Any, str]:
    """Return the result of a run and an empty text, or ``None`` and the reason why there is no result.

    It takes one query; for a run with maps or many tasks up to three.
    """
    if run.status != RunStatus.SUCCESS:
        return None, ""
    graph = run.version.graph
    values = of_result(graph)
    try:
        return (
            _last_entry_result(run, graph.result.spans()) if values is None else _evaluate_result(run, values)
        ), ""
    except (ResultError, InputTooLarge) as error:
        logger.warning("The result of run %s: %s", run.pk, error, extra={"run_id": str(run.pk)})
        return None, f"result: {error}"


def read_task_result(task: TaskRow) -> tuple[Any, str]:
    """Return the result of a task and an empty text, or ``None`` and the reason why there is no result.

    The result of a finished map is the list of the results of its items.
    """
    if task.map_count is None or not task.is_finished:
        return task.result, ""
    try:
        return _map_results(task.run, [task.position]).get(task.position), ""
    except InputTooLarge as error:
        return None, f"result: {error}"


def _map_results(run: RunRow, positions: Iterable[int]) -> dict[int, list[Any]]:
    made = run.version.graph.last_in(positions)
    if not made:
        return {}
    _check_size(run.tasks.size_of_items(made))
    return run.tasks.lists_of_items(made)


def _last_entry_result(run: RunRow, spans: tuple[Span, ...]) -> object:
    results = dict(_rows(run, spans, "position", "result"))
    return run.version.graph.result.assemble(results | _map_results(run, results))


def read_names(run: RunRow, values: Values) -> dict[str, Any]:
    """Return the names that expressions may use, with what they use of the run's tasks as these are now.

    It takes a query, and more if they use the results of maps. Raises ``InputTooLarge``.
    """
    rows = _rows(run, values.tasks, "position", "status", "result", "decision")
    made = _map_results(run, expand(values.results))
    return values.names(
        {p: Outcome(status, made.get(p, result), decision) for p, status, result, decision in rows},
        payload=run.payload,
        run=run.facts,
    )


def _evaluate_result(run: RunRow, values: Values) -> object:
    names = read_names(run, values)
    try:
        return values.evaluate("result", names)
    except ExpressionError as error:
        raise ResultError(_explain_error(run, values, names, error)) from None


def _explain_error(run: RunRow, values: Values, names: dict[str, Any], error: ExpressionError) -> str:
    """Return the reason why ``result`` can't be evaluated, without secrets of the payload and of the results."""
    schema = run.version.graph.definition.schema
    texts = Redactor(lambda: run.payload, schema, run.pk)
    for secret in hidden_in(names["tasks"]):
        texts.add(secret)
    veiled = names | {"payload": mask(run.payload, schema), "tasks": mask(names["tasks"])}
    return shown_error(error, lambda: values.evaluate("result", veiled), texts)


def _rows(run: RunRow, spans: tuple[Span, ...], *columns: str) -> Iterable[tuple[Any, ...]]:
    if not spans:
        return ()
    if sum(end - start for start, end in spans) * director.MAX_RESULT > director.MAX_INPUT:
        _check_size(run.tasks.at(spans).size_of_results())
    return run.tasks.at(spans).values_list(*columns)


def _check_size(size: int) -> None:
    if size > director.MAX_INPUT:
        raise InputTooLarge(f'it has {size:,} bytes, the limit is {director.MAX_INPUT:,} (DIRECTOR["MAX_INPUT"])')
