"""The check of workflows that are steps of other workflows. It runs when all files are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from django_director.common.suggestions import MAX_HINTS, question
from django_director.definitions.cycles import cycle_text, find_order
from django_director.definitions.definition import Definition
from django_director.definitions.payloads import errors_of
from django_director.definitions.source import codes
from django_director.definitions.source.nodes import at, plain
from django_director.definitions.source.workflow_calls import Call

MAX_CYCLES: Final = 20


def check_calls(calls: Sequence[Call], definitions: Mapping[str, Definition], *, all_known: bool) -> None:
    """Report child workflows that do not exist, payloads that do not fit, and recursion.

    ``all_known`` is false when some file could not be read: a workflow that is missing may stand in that file.
    """
    if all_known:
        _check_names([call for call in calls if call.child not in definitions], definitions)
    for call in calls:
        child = definitions.get(call.child)
        if child is not None and call.is_constant:
            _check_payload(call, child)
    _check_recursion(calls)


def _check_names(unknown: Iterable[Call], known: Collection[str]) -> None:
    hints: dict[str, str] = {}
    for call in unknown:
        if call.child not in hints:
            near = question(call.child, known) if len(hints) < MAX_HINTS else ""
            hints[call.child] = near or "write the full name: `project.NAME`"
        message = f"no workflow is called “{call.child}”"
        call.tell(codes.CHILD, call.node, message, hints[call.child])


def _check_payload(call: Call, child: Definition) -> None:
    if child.schema is None:
        return
    given = call.payload
    for error in errors_of(child.schema, {} if given is None else plain(given)):
        place = call.node if given is None else at(given, error.keys)
        hint = "give the step a `payload` that fits" if given is None else "correct the payload or the schema"
        if wrong := call.hint_for(place):
            hint = f"it is text; {wrong}"
        message = f"the payload does not fit the schema of “{child.name}”: {error.path}: {error.message}"
        call.tell(codes.CHILD_PAYLOAD, place, message, hint)


def _check_recursion(calls: Sequence[Call]) -> None:
    numbers: dict[str, int] = {}
    for call in calls:
        for name in (call.caller, call.child):
            numbers.setdefault(name, len(numbers))
    names = list(numbers)
    children: list[list[int]] = [[] for _ in numbers]
    made: dict[tuple[int, int], Call] = {}
    for call in calls:
        pair = numbers[call.caller], numbers[call.child]
        children[pair[0]].append(pair[1])
        made.setdefault(pair, call)
    for _ in range(MAX_CYCLES):
        cycle = find_order(children)[1]
        if not cycle:
            return
        pair = _closing(cycle, list(made))
        call = made[pair]
        message = f"the workflow would start itself: {cycle_text([names[number] for number in cycle])}"
        call.tell(codes.RECURSION, call.node, message, "take one of these steps out")
        # Cut it there, to find those that are left.
        children[pair[0]] = [number for number in children[pair[0]] if number != pair[1]]


def _closing(cycle: Sequence[int], calls: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the last of the calls that make the cycle, in the order of the files."""
    pairs = set(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    return next(pair for pair in reversed(calls) if pair in pairs)
