"""A step as it stands in the file, before ids are given out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from django_director.definitions.model import Retry
from django_director.definitions.source.nodes import ListNode, Node
from django_director.definitions.source.report import Report
from django_director.definitions.trigger_rules import NONE_FAILED

from .expressions import Use
from .values import Named

Within = Literal["tasks", "group", "chain", "map", "hook"]
"""What a list of steps belongs to."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """A step without its id. The fields are those of the steps of ``model`` and of ``kinds``."""

    name: str
    kind: str
    node: Node
    task: str = ""
    """The Celery task, also that of a map with ``task:``; '' for all else."""
    explicit: bool = False
    """The name is an id of its own."""
    description: str = ""
    needs: list[Named] | None = None
    when: Any = None
    trigger_rule: str = NONE_FAILED
    queue: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    retry: Retry | None = None
    timeout: int | float | None = None
    priority: int | None = None
    continue_on_error: bool | None = None
    own: dict[str, Any] = field(default_factory=dict)
    """What only steps of this kind have, by the fields of their class."""
    members: list[Draft] = field(default_factory=list)
    """Of a container, or the body of a map."""
    uses: Sequence[Use] = ()
    id: str = ""

    @property
    def is_container(self) -> bool:
        return self.kind in ("group", "chain")

    @property
    def is_conditional(self) -> bool:
        return self.when is not None or self.trigger_rule != NONE_FAILED

    @property
    def named_members(self) -> list[Draft]:
        """The members with ids of their own: the only step of a map with ``task:`` has the map's."""
        return [] if self.kind == "map" and self.task else self.members


ReadSteps = Callable[[ListNode, Report, Within], list[Draft]]
"""Reads the steps of a list; those that can't be understood are left out and reported."""


def walk(drafts: Iterable[Draft]) -> Iterator[Draft]:
    """Every draft that has an id of its own, in the order of the file."""
    for draft in drafts:
        yield draft
        yield from walk(draft.named_members)
