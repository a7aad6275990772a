"""The values of a task as files: a page shows only the beginning of long ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

from django.core.serializers.json import DjangoJSONEncoder
from django.http import Http404, HttpRequest, HttpResponse

from django_director.masking.values import mask
from django_director.models import Task

from . import arguments, formatting, shown_items, task_attempts
from .attachments import as_file

RESULTS_READ: Final = 200
"""The results of a map with more items are not read."""
PARTS: Final = ("payload", "arguments", "item", "result", "error", "traceback", "log")


def addresses(task: Task, site: str, attempt: str) -> dict[str, str]:
    """Return the addresses of the files by the names of the parts; ``attempt`` is the key of the shown attempt."""
    chosen = f"?{urlencode({task_attempts.PARAMETER: attempt})}" if attempt else ""
    parts = [part for part in PARTS if part != "result" or not has_too_many_results(task)]
    return {part: formatting.address("task_download", task.pk, part, site=site) + chosen for part in parts}


def has_too_many_results(task: Task) -> bool:
    """Whether the result of a task is made of so many that it is not read."""
    return (task.map_count or 0) > RESULTS_READ


def answer(request: HttpRequest, task: Task, part: str) -> HttpResponse:
    """Answer with a part of what is known of a task as a file, as the page shows it but whole."""
    attempt = request.GET.get(task_attempts.PARAMETER, "")
    texts: dict[str, Callable[[], str]] = {
        "error": lambda: task_attempts.read_failure(task, attempt)[0],
        "traceback": lambda: task_attempts.read_failure(task, attempt)[1],
        "log": lambda: task_attempts.read_log(task, attempt),
    }
    if part in texts:
        return _file(formatting.readable(texts[part]()), f"{task.pk}-{part}.txt", "text/plain")
    values: dict[str, Callable[[Task], object]] = {
        "payload": lambda task: mask(task.run.payload, task.run.version.graph.definition.schema),
        "arguments": _arguments,
        "item": _item,
        "result": lambda task: mask(task.read_result()[0]),
    }
    if part not in values or (part == "result" and has_too_many_results(task)):
        raise Http404
    text = json.dumps(values[part](task), cls=DjangoJSONEncoder, indent=2, ensure_ascii=False)
    return _file(text, f"{task.pk}-{part}.json", "application/json")


def _item(task: Task) -> object:
    node = task.run.version.graph.node(task.position)
    return None if node.map_position is None else shown_items.of_task(task, node)


def _arguments(task: Task) -> object:
    call = arguments.of_task(task, task.run.version.graph.node(task.position))
    return {argument.name: argument.raw for argument in call.arguments} if call is not None else {}


def _file(text: str, name: str, kind: str) -> HttpResponse:
    return as_file(HttpResponse(text, content_type=f"{kind}; charset=utf-8"), name)
