"""What a run gives: the result of its last entry, or what its definition's ``result`` makes of those of its tasks.

Where the results of tasks, or those of the items of maps, are over ``MAX_INPUT`` together, they are not read: no
follower would get them, and no page or answer should.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from uuid import UUID

from django_director.conf import director
from django_director.exceptions import DirectorError, ExpressionError, InputTooLarge
from django_director.graph import Graph, Outcome, Span, Values, expand, of_result
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
    """The definition's ``result`` gives no value; the text holds no secret."""


logger = logging.getLogger(__name__)


def read(run: RunRow) -> tuple[Any, str]:
    """The result of a run, or ``None`` and why there is none. One query, with maps or many tasks up to three."""
    if run.status != RunStatus.SUCCESS:
        return None, ""
    graph = run.version.graph
    values = of_result(graph)
    try:
        return (_of_last(run, graph.result.spans()) if values is None else _evaluated(run, values)), ""
    except (ResultError, InputTooLarge) as error:
        logger.warning("The result of run %s: %s", run.pk, error, extra={"run_id": str(run.pk)})
        return None, f"result: {error}"


def of_task(task: TaskRow) -> tuple[Any, str]:
    """The result of a task, or ``None`` and why there is none; of a map that has ended the list of its items'."""
    if task.map_count is None or not task.is_finished:
        return task.result, ""
    try:
        return _lists(task.run, [task.position]).get(task.position), ""
    except InputTooLarge as error:
        return None, f"result: {error}"


def _lists(run: RunRow, positions: Iterable[int]) -> dict[int, list[Any]]:
    made = run.version.graph.last_in(positions)
    if not made:
        return {}
    _check(run.tasks.size_of_items(made))
    return run.tasks.lists_of_items(made)


def _of_last(run: RunRow, spans: tuple[Span, ...]) -> object:
    results = dict(_rows(run, spans, "position", "result"))
    return run.version.graph.result.assemble(results | _lists(run, results))


def _evaluated(run: RunRow, values: Values) -> object:
    rows = _rows(run, values.tasks, "position", "status", "result", "decision")
    made = _lists(run, expand(values.results))
    names = values.names(
        {p: Outcome(status, made.get(p, result), decision) for p, status, result, decision in rows},
        payload=run.payload,
        run=run.facts,
    )
    try:
        return values.evaluate("result", names)
    except ExpressionError as error:
        raise ResultError(_shown(run, values, names, error)) from None


def _shown(run: RunRow, values: Values, names: dict[str, Any], error: ExpressionError) -> str:
    """Why there is no result, without the secrets of the payload and of the results that it was to be made of."""
    schema = run.version.graph.definition.schema
    texts = Redactor(run.payload, schema, run.pk)
    for secret in hidden_in(names["tasks"]):
        texts.add(secret)
    veiled = names | {"payload": mask(run.payload, schema), "tasks": mask(names["tasks"])}
    return shown_error(error, lambda: values.evaluate("result", veiled), texts)


def _rows(run: RunRow, spans: tuple[Span, ...], *columns: str) -> Iterable[tuple[Any, ...]]:
    if not spans:
        return ()
    if sum(end - start for start, end in spans) * director.MAX_RESULT > director.MAX_INPUT:
        _check(run.tasks.at(spans).size_of_results())
    return run.tasks.at(spans).values_list(*columns)


def _check(size: int) -> None:
    if size > director.MAX_INPUT:
        raise InputTooLarge(f'it has {size:,} bytes, the limit is {director.MAX_INPUT:,} (DIRECTOR["MAX_INPUT"])')
