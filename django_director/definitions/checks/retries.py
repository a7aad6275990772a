"""The check of the exception classes that `retry` names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from django_director.common.problems import Place, Problem
from django_director.definitions.definition import Definition, Retry
from django_director.definitions.source import codes

Load = Callable[[str], object]


def check_retries(definitions: Iterable[Definition], load: Load) -> list[Problem]:
    """Return a problem for each dotted name that leads to no exception class.

    ``load`` returns what a name leads to, or raises ``ImportError`` or ``AttributeError``.
    """
    seen: set[tuple[Place, str]] = set()
    reasons: dict[str, str] = {}
    problems = []
    for definition, step, retry, name in _names(definitions):
        # `defaults` come to every step from one place.
        if (retry.place, name) in seen:
            continue
        seen.add((retry.place, name))
        if name not in reasons:
            reasons[name] = _reason(name, load)
        if reasons[name]:
            problems.append(_problem(definition, step, retry, name, reasons[name]))
    return problems


def _names(definitions: Iterable[Definition]) -> Iterator[tuple[Definition, str, Retry, str]]:
    for definition in definitions:
        for step in (*definition.steps(), *definition.hook_steps()):
            if step.retry is not None:
                for name in (*step.retry.only, *step.retry.never):
                    if "." in name:
                        yield definition, step.id, step.retry, name


def _reason(name: str, load: Load) -> str:
    """Return why a name can't be used; an empty text when it can."""
    try:
        found = load(name)
    except (ImportError, AttributeError) as error:
        return f"can't be imported: {error}"
    is_exception = isinstance(found, type) and issubclass(found, BaseException)
    return "" if is_exception else "is no exception class"


def _problem(definition: Definition, step: str, retry: Retry, name: str, reason: str) -> Problem:
    return Problem(
        place=retry.place,
        code=codes.EXCEPTION,
        message=f"`retry`: “{name}” {reason}",
        hint="write the class with its module, or its bare name, which is not imported",
        workflow=definition.name,
        step=step,
    )
