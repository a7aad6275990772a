"""Reads `queue:` of a workflow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django_director.common.suggestions import MAX_HINTS, question
from django_director.definitions.fields.drafts import Draft
from django_director.definitions.fields.expressions import note_text
from django_director.definitions.fields.plain_values import NAME_LENGTH, read_text
from django_director.definitions.source import codes
from django_director.definitions.source.nodes import MappingNode, Node, describe, text_of
from django_director.definitions.source.report import Report


@dataclass(slots=True, kw_only=True)
class Queues:
    """The queues of a workflow: a step's own comes first, then customs by id and by task, then the default."""

    default: str | None = None
    customs: dict[str, str] = field(default_factory=dict)
    keys: dict[str, Node] = field(default_factory=dict)

    def queue_for(self, draft: Draft) -> str | None:
        """Return the queue of a step; ``None`` when the file names none."""
        own = draft.queue
        if own is None and self.customs:
            names = (draft.id, draft.name, draft.task)
            own = next((self.customs[name] for name in names if name in self.customs), None)
        return own or self.default

    def note_unused(self, drafts: Iterable[Draft], report: Report) -> None:
        """Note customs that name none of these drafts."""
        names = {name for draft in drafts for name in (draft.id, draft.name, draft.task) if name}
        for number, (name, key) in enumerate(self.keys.items()):
            if name not in names and not report.is_unread(name):
                near = question(name, names) if number < MAX_HINTS else ""
                hint = near or "take it out if that is meant"
                message = f"`queue.customs` names “{name}”, which is no step or task of the workflow"
                report.note(codes.UNUSED_QUEUE, key, message, hint, about=name)


def read_queues(node: Node | None, report: Report) -> Queues:
    """Read `queue:`, a name or a mapping."""
    if node is None:
        return Queues()
    if isinstance(node, MappingNode):
        node = report.check_keys(node, "in `queue`", ("default", "customs"))
        queues = Queues(default=read_text(node, "default", report))
        _read_customs(node.get("customs"), queues, report)
        return queues
    if (name := text_of(node)) and len(name) <= NAME_LENGTH:
        note_text(node, "queue", report)
        return Queues(default=name)
    message = f"`queue` must be a queue's name or a mapping, and is {describe(node)}"
    report.error(codes.VALUE, node, message, "write `queue: slow` or `queue: {default: slow}`")
    return Queues()


def _read_customs(node: Node | None, queues: Queues, report: Report) -> None:
    if node is None:
        return
    if not isinstance(node, MappingNode):
        message = f"`customs` must be a mapping, and is {describe(node)}"
        report.error(codes.VALUE, node, message, "write `customs: {TASK: queue}`")
        return
    for name, entry in node.entries.items():
        queue = read_text(node, name, report)
        if queue is not None:
            queues.customs[name] = queue
            queues.keys[name] = entry.key
