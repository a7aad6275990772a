"""Drafts: steps as they stand in the file, before they get their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from django_director.definitions.definition import Retry
from django_director.definitions.source.nodes import ListNode, Node
from django_director.definitions.source.report import Report
from django_director.definitions.trigger_rules import NONE_FAILED

from .expressions import Use
from .plain_values import Named

Within = Literal["tasks", "group", "chain", "map", "hook"]
"""What a list of steps belongs to: a workflow, a container, a map or the hooks."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """A step without its id. Its fields are those of the steps of ``model`` and ``kinds``."""

    name: str
    kind: str
    node: Node
    task: str = ""
    """The Celery task of a step, or of a map with ``task:``; empty for all other steps."""
    explicit: bool = False
    """Whether the name is an id that the file gives to the step, and not the name of a task."""
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
    """The members of a container, or the tasks of a map."""
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
        """The members that have ids of their own: the only task of a map with ``task:`` has the map's id."""
        return [] if self.kind == "map" and self.task else self.members


ReadSteps = Callable[[ListNode, Report, Within], list[Draft]]
"""Reads the steps of a list; steps that can't be understood are reported and left out."""


def walk(drafts: Iterable[Draft]) -> Iterator[Draft]:
    """Yield every draft that has an id of its own, in the order of the file."""
    for draft in drafts:
        yield draft
        yield from walk(draft.named_members)
