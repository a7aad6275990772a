"""How a task is called: which value goes to which parameter.

These rules stand here alone: the check of the files uses them with the names of arguments, the worker with values.

1. ``with:`` gives keyword arguments.
2. ``payload`` and ``workflow_id`` go by name to a function with such a parameter, or with ``**kwargs``.
3. The upstream result goes to the first positional parameter that is still free and has no default, else to
   ``*args``, else nowhere. Without upstream, ``*args`` gets ``None``, as in celery-director.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum, auto
from inspect import Parameter, Signature
from typing import Any, Final, NamedTuple

from django_director.common.suggestions import nearest, question
from django_director.exceptions import DirectorError

from .source import codes

PAYLOAD: Final = "payload"
WORKFLOW_ID: Final = "workflow_id"

ANYTHING: Final = Signature(
    [Parameter("args", Parameter.VAR_POSITIONAL), Parameter("kwargs", Parameter.VAR_KEYWORD)]
)
"""Stands for the signature of a task whose own signature can't be read."""


class ArgumentsError(DirectorError):
    """A task can't be called with what its step gives. ``code`` and ``hint`` are those of the problem."""

    def __init__(self, message: str, *, code: str, hint: str) -> None:
        self.code = code
        self.hint = hint
        super().__init__(message)


class Uses(NamedTuple):
    """Which values of its run a task can use; the others need not be read for it."""

    payload: bool
    upstream: bool
    """The result of the steps before it, or its item of a map."""


USES_ALL: Final = Uses(payload=True, upstream=True)
USES_NONE: Final = Uses(payload=False, upstream=False)


class _From(Enum):
    GIVEN = auto()
    PAYLOAD = auto()
    WORKFLOW_ID = auto()
    UPSTREAM = auto()
    DEFAULT = auto()


_BY_NAME: Final = {PAYLOAD: _From.PAYLOAD, WORKFLOW_ID: _From.WORKFLOW_ID}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """One argument, and where its value comes from. ``name`` is the key in ``with:``, or the parameter's name."""

    name: str
    source: _From
    default: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where each argument of a call comes from. It is worked out once; ``bind`` then only puts values in place."""

    args: tuple[_Slot, ...]
    kwargs: tuple[_Slot, ...]

    def bind(
        self, *, given: Mapping[str, Any], payload: object, workflow_id: str, upstream: object = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of one call. ``given`` is copied, for a task may change what it gets."""
        values = {_From.PAYLOAD: payload, _From.WORKFLOW_ID: workflow_id, _From.UPSTREAM: upstream}

        def value(slot: _Slot) -> object:
            if slot.source is _From.GIVEN:
                return _copy(given[slot.name])
            return slot.default if slot.source is _From.DEFAULT else values[slot.source]

        return tuple(value(slot) for slot in self.args), {slot.name: value(slot) for slot in self.kwargs}

    @property
    def uses(self) -> Uses:
        """Which values the function receives, besides those that ``with`` gives."""
        sources = {slot.source for slot in (*self.args, *self.kwargs)}
        return Uses(payload=_From.PAYLOAD in sources, upstream=_From.UPSTREAM in sources)

    @property
    def filled_by_upstream(self) -> str:
        """The parameter that the upstream result goes to; empty when it goes to ``*args`` or nowhere."""
        slots = (slot.name for slot in (*self.args, *self.kwargs) if slot.source is _From.UPSTREAM)
        return next((name for name in slots if name != "*"), "")


def plan(signature: Signature, given: frozenset[str], has_upstream: bool) -> Plan:
    """Work out a call from the names that ``with:`` gives. Raises ``ArgumentsError``."""
    return _Planner(signature, given, has_upstream=has_upstream).plan()


class Plans:
    """The plans of one task by the names of arguments, each worked out once: not every signature can be hashed."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._plans: dict[tuple[frozenset[str], bool], Plan] = {}

    def plan(self, given: Iterable[str], has_upstream: bool) -> Plan:
        """Return the plan for these names of arguments. Raises ``ArgumentsError``."""
        key = (frozenset(given), has_upstream)
        if key not in self._plans:
            self._plans[key] = plan(self.signature, *key)
        return self._plans[key]


class _Planner:
    def __init__(self, signature: Signature, given: frozenset[str], *, has_upstream: bool) -> None:
        parameters = signature.parameters.values()
        self.positional = [
            p for p in parameters if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        ]
        self.keyword_only = [p for p in parameters if p.kind is Parameter.KEYWORD_ONLY]
        self.takes_args = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
        self.takes_kwargs = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
        self.by_keyword = {p.name for p in [*self.positional, *self.keyword_only]} - {
            p.name for p in self.positional if p.kind is Parameter.POSITIONAL_ONLY
        }
        self.given = given
        self.has_upstream = has_upstream

    def plan(self) -> Plan:
        self.refuse_unexpected()
        slots = {p.name: self.named(p) for p in [*self.positional, *self.keyword_only]}
        in_args = self.place_upstream(slots)
        self.refuse_missing(slots)
        prefix = len(self.positional) if in_args else self.must_be_positional(slots)
        args = [_positional(p, slots[p.name]) for p in self.positional[:prefix]]
        if in_args:
            args.append(_Slot(name="*", source=_From.UPSTREAM))
        rest = [*self.positional[prefix:], *self.keyword_only]
        kwargs = [slot for p in rest if (slot := slots[p.name]) is not None]
        return Plan(args=tuple(args), kwargs=(*kwargs, *self.extra()))

    def refuse_unexpected(self) -> None:
        if self.takes_kwargs:
            return
        for name in sorted(self.given - self.by_keyword):
            takes = ", ".join(f"`{known}`" for known in sorted(self.by_keyword)) or "no keyword arguments"
            raise ArgumentsError(
                f"it does not take the argument `{name}` of `with`",
                code=codes.UNEXPECTED_ARGUMENT,
                hint=question(name, self.by_keyword - self.given, "`{}`") or f"it takes {takes}",
            )

    def named(self, parameter: Parameter) -> _Slot | None:
        """Apply rules 1 and 2 to one parameter; return ``None`` to leave it free."""
        name = parameter.name
        if name in self.given and name in self.by_keyword:
            return _Slot(name=name, source=_From.GIVEN)
        source = _BY_NAME.get(name)
        return None if source is None else _Slot(name=name, source=source)

    def place_upstream(self, slots: dict[str, _Slot | None]) -> bool:
        """Apply rule 3; return whether the upstream result goes to ``*args``."""
        if self.has_upstream:
            for parameter in self.positional:
                if slots[parameter.name] is None and _is_required(parameter):
                    slots[parameter.name] = _Slot(name=parameter.name, source=_From.UPSTREAM)
                    return False
        return self.takes_args

    def refuse_missing(self, slots: dict[str, _Slot | None]) -> None:
        for parameter in [*self.positional, *self.keyword_only]:
            if slots[parameter.name] is None and _is_required(parameter):
                raise ArgumentsError(
                    f"it requires the argument `{parameter.name}`, and nothing gives it",
                    code=codes.MISSING_ARGUMENT,
                    hint=self.missing_hint(parameter),
                )

    def missing_hint(self, parameter: Parameter) -> str:
        if parameter.kind is Parameter.POSITIONAL_ONLY:
            return "give the parameter a default; it can't be given by name"
        if near := nearest(parameter.name, self.given - self.by_keyword):
            return f"write `{parameter.name}` in `with` in place of `{near}`"
        first = "" if self.has_upstream else "; a first step receives no result"
        return f"add `with: {{{parameter.name}: …}}`, or give the parameter a default{first}"

    def must_be_positional(self, slots: dict[str, _Slot | None]) -> int:
        """Count the parameters to pass by position: those that must be, and those before the upstream result."""
        prefix = 0
        for number, parameter in enumerate(self.positional, start=1):
            slot = slots[parameter.name]
            only = parameter.kind is Parameter.POSITIONAL_ONLY
            if slot and (only or (slot.source is _From.UPSTREAM and prefix == number - 1)):
                prefix = number
        return prefix

    def extra(self) -> list[_Slot]:
        """Return what goes to ``**kwargs``."""
        if not self.takes_kwargs:
            return []
        given = [_Slot(name=name, source=_From.GIVEN) for name in sorted(self.given - self.by_keyword)]
        taken = self.given | {parameter.name for parameter in [*self.positional, *self.keyword_only]}
        return given + [_Slot(name=name, source=source) for name, source in _BY_NAME.items() if name not in taken]


def _is_required(parameter: Parameter) -> bool:
    return parameter.default is Parameter.empty


def _positional(parameter: Parameter, slot: _Slot | None) -> _Slot:
    return slot or _Slot(name=parameter.name, source=_From.DEFAULT, default=parameter.default)


def _copy(value: object) -> object:
    return deepcopy(value) if isinstance(value, dict | list) else value
