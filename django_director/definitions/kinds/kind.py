"""What the program knows of a kind of step: how a file writes it, how it is stored, how people are told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, ClassVar, Final, Generic, TypeVar

from django_director.definitions.definition import Step
from django_director.definitions.fields.drafts import Draft, ReadSteps
from django_director.definitions.source import foreign_words
from django_director.definitions.source.foreign_words import Words
from django_director.definitions.source.nodes import MappingNode
from django_director.definitions.source.report import Report
from django_director.definitions.stored_values import Json, keep_order, restore_order

Facts = Iterator[tuple[str, str | None]]
"""Names and values for people; ``None`` for what is not set."""
S = TypeVar("S", bound=Step)

_COMMON: Final = frozenset(part.name for part in fields(Step))


class Kind(Generic[S]):
    """One kind of step. A subclass says how it differs; ``kinds.KINDS`` has one of each."""

    name: ClassVar[str]
    """What ``type`` says in a file, and ``kind`` of the step."""
    step: type[S]
    """The class of its steps."""
    keys: ClassVar[tuple[str, ...]]
    """The keys that its options may have."""
    marker: ClassVar[str] = "type"
    """The key of the options that tells this kind from the others."""
    title: ClassVar[str] = ""
    """What messages call it; empty for its name."""
    foreign_words: ClassVar[Words] = foreign_words.OF_STEPS
    """Hints for keys that other engines have."""
    has_decision: ClassVar[bool] = False
    """Whether expressions may use ``tasks.ID.decision``."""
    schema_name: ClassVar[str] = ""
    """What the editors' schema calls its options; empty for its name."""
    schema: ClassVar[Mapping[str, Any]]
    """The part of the editors' schema for its own options: ``properties``, and what else holds for them."""

    def __init__(self) -> None:
        self._own: Final[Sequence[Field[Any]]] = [part for part in fields(self.step) if part.name not in _COMMON]

    def read(self, draft: Draft, body: MappingNode, report: Report, read_steps: ReadSteps) -> None:
        """Read the options of a step into ``draft.own``, whose keys are the fields of the class ``step``.

        The caller has reported unknown keys and read the keys of all kinds. ``read_steps`` reads a list of steps
        that stands in the options.
        """
        raise NotImplementedError

    def freeze(self, draft: Draft, common: Json, freeze: Callable[[Draft], Any]) -> S:
        """Make a step of a draft. ``common`` has the fields of all kinds; ``freeze`` makes the steps in it."""
        return self.step(**common, **draft.own)

    def to_json(self, step: S, store: Callable[[Step], Json]) -> Json:
        """Return the stored form of what only this kind has: the fields that are not as usual.

        ``store`` gives the whole stored form of a step in it. A kind whose fields hold other than JSON values has
        its own ``to_json`` and ``from_json``.
        """
        own = ((part.name, getattr(step, part.name)) for part in self._own if not _is_usual(step, part))
        return {name: keep_order(value) if isinstance(value, dict | list) else value for name, value in own}

    def from_json(self, data: Json, common: Json, load: Callable[[Json], Any]) -> S:
        """Make a step of its stored form; the inverse of ``to_json``. ``load`` makes the steps in it."""
        own = {part.name: restore_order(data[part.name]) for part in self._own if part.name in data}
        return self.step(**common, **own)

    def describe(self, step: S) -> Facts:
        """Yield what people are told of a step besides what all kinds have."""
        yield from ()

    def mark(self, step: S, label: str) -> str:
        """Return what stands behind the label of a step in brackets; empty for nothing."""
        return self.name


def _is_usual(step: Step, part: Field[Any]) -> bool:
    usual = part.default_factory() if part.default_factory is not MISSING else part.default
    return bool(getattr(step, part.name) == usual)
