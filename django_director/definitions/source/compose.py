"""Makes nodes of text. Size and depth are bounded, and every alias is counted before anything is expanded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn, Protocol, TypeAlias

import yaml

from . import codes
from .commas import mend_items, mend_pairs
from .nodes import Entry, ListNode, MappingNode, Node, ScalarNode
from .report import Report
from .scalars import Ambiguous, Value, resolve
from .yaml_errors import report_syntax

MAX_BYTES: Final = 1024 * 1024
MAX_LEVELS: Final = 32
MAX_NODES: Final = 200_000
MERGE: Final = "<<"
_OF_A_WORKFLOW: Final = 2
"""The level at which the keys of a workflow stand."""

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
QUOTES: Final = "put it in quotes"
_IN_QUOTES: Final = 'an expression stands in quotes: "${{ … }}"'
_SPELT: Final = "write out what is meant here"
_DURATION: Final = "; a duration is written as 1h30m"
_NO_KEY: Final = "did you forget a dash or quotes?"


class Marked(Protocol):
    """An event of PyYAML that knows where it begins and ends in the text, as all do that PyYAML itself makes."""

    start_mark: Any
    end_mark: Any


class Scalar(Marked, Protocol):
    """The event of a text; ``style`` is the quotes or the sign of a block, if it has any."""

    style: str | None


Content: TypeAlias = yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent
"""The event with which a node begins that is no alias."""


class _Refused(Exception):
    """The document can't be read any further; the reason is in the report."""


def load(text: str, report: Report) -> Node | None:
    """Return the document's root; ``None`` when it is empty, or when the report says why there is none."""
    try:
        return _Composer(text, report).document()
    except _Refused:
        return None
    except yaml.reader.ReaderError as error:
        # Found anew: the loaders count in bytes or in characters.
        found = _at(text, text.find(chr(error.character)))
        report.error(
            codes.CHARACTER, found, f"the character U+{error.character:04X} is not allowed", "take it out"
        )
    except yaml.MarkedYAMLError as error:
        report_syntax(error, text, report)
    return None


class _Composer:
    """Goes once over the events. The recursion is as deep as the document, at most ``MAX_LEVELS``."""

    def __init__(self, text: str, report: Report) -> None:
        self.next: Callable[[], Any] = _LOADER(text).get_event
        self.resolved: dict[str, Value] = {}
        self.report = report
        self.anchors: dict[str | None, Node | None] = {}
        self.total = 0

    def document(self) -> Node | None:
        self.next()
        if isinstance(self.next(), yaml.StreamEndEvent):
            return None
        root = self.node(self.next(), 0)
        self.next()
        following = self.next()
        if not isinstance(following, yaml.StreamEndEvent):
            self.refuse(codes.DOCUMENTS, following, "a second document begins here", "take out this `---`")
        return root

    def node(self, event: yaml.AliasEvent | Content, level: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, level)
        if event.tag is not None:
            self.error(codes.TAG, event, f"the tag `{_short_tag(event.tag)}` is not allowed", "take it out")
        before = self.total
        self.count(1, event)
        if event.anchor:
            # Until it is complete: an alias inside it would never end.
            self.anchors[event.anchor] = None
        node = self.content(event, level)
        node.size = self.total - before
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def content(self, event: Content, level: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event)
        if level + 1 > MAX_LEVELS:
            self.refuse_depth(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(event, level + 1)
        return self.mapping(event, level + 1)

    def alias(self, event: yaml.AliasEvent, level: int) -> Node:
        if event.anchor not in self.anchors:
            hint = f"write `&{event.anchor}` before what it stands for, above this line"
            self.refuse(codes.ALIAS, event, f"the alias `*{event.anchor}` has no anchor before it", hint)
        node = self.anchors[event.anchor]
        if node is None:
            self.refuse(codes.ALIAS, event, f"the alias `*{event.anchor}` stands inside its own anchor", _SPELT)
        self.count(node.size, event)
        if level + node.height > MAX_LEVELS:
            self.refuse_depth(event)
        return node

    def scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        text: str = event.value
        value: Value = text
        if not event.style and event.tag is None:
            value = self.resolve(event, text)
        if "\0" in text or not _is_utf8(text):
            self.error(codes.CHARACTER, event, "the text holds a character that can't be stored", "take it out")
        is_plain = not event.style and event.tag is None
        return ScalarNode(value=value, text=text, offset=_offset(event, text), is_plain=is_plain, **_mark(event))

    def resolve(self, event: Marked, text: str) -> Value:
        if text not in self.resolved:
            try:
                self.resolved[text] = resolve(text)
            except Ambiguous as error:
                self.report.budget.misread.add((event.start_mark.line + 1, event.start_mark.column + 1))
                self.error(
                    codes.AMBIGUOUS,
                    event,
                    str(error),
                    f'{QUOTES}: "{text[:40]}"{_DURATION if ":" in text else ""}',
                )
                return text
        return self.resolved[text]

    def sequence(self, event: yaml.SequenceStartEvent, level: int) -> ListNode:
        node = ListNode(**_mark(event))
        while not isinstance(item := self.next(), yaml.SequenceEndEvent):
            node.items.append(self.node(item, level))
        if event.flow_style:
            node.items = mend_items(node.items, self.report)
        node.height = 1 + max((item.height for item in node.items), default=0)
        return node

    def mapping(self, event: yaml.MappingStartEvent, level: int) -> MappingNode:
        node = MappingNode(**_mark(event))
        merged: list[MappingNode] = []
        height = 0
        pairs: list[tuple[Node, Node]] = []
        while not isinstance(key_event := self.next(), yaml.MappingEndEvent):
            pairs.append((self.node(key_event, level), self.node(self.next(), level)))
        if event.flow_style:
            pairs = mend_pairs(pairs, self.report)
        for key, value in pairs:
            height = max(height, key.height, value.height)
            if isinstance(key, ScalarNode) and key.text == MERGE and key.is_plain:
                merged += self.merged(key, value)
            else:
                self.add(node, key, value, level)
        for source in merged:
            # The mapping's own keys win, then those of the earlier source.
            node.entries = source.entries | node.entries
        node.height = 1 + height
        return node

    def merged(self, key: ScalarNode, value: Node) -> list[MappingNode]:
        sources = value.items if isinstance(value, ListNode) else [value]
        mappings = [source for source in sources if isinstance(source, MappingNode)]
        if len(mappings) < len(sources):
            self.report.error(
                codes.MERGE, key, "`<<` takes a mapping or a list of mappings", "name an anchor: `<<: *name`"
            )
        return mappings

    def add(self, node: MappingNode, key: Node, value: Node, level: int) -> None:
        if not isinstance(key, ScalarNode):
            self.report.error(
                codes.KEY_NOT_TEXT,
                key,
                "a key must be text",
                _IN_QUOTES if isinstance(key, MappingNode) else _NO_KEY,
            )
        elif not isinstance(key.value, str):
            self.report.error(codes.KEY_NOT_TEXT, key, not_text("key", key), _key_hint(key, level))
        elif (first := node.entries.get(key.value)) is not None:
            self.duplicate(first.key, key, level)
        else:
            node.entries[key.value] = Entry(key=key, value=value)

    def duplicate(self, first: ScalarNode, key: ScalarNode, level: int) -> None:
        where = self.report.place(first)
        if level == 1 and not is_private(key.text):
            report, code, what = self.report.inside(workflow=key.text), codes.WORKFLOW_TWICE, "workflow"
        else:
            report, code, what = self.report, codes.DUPLICATE_KEY, "key"
        report.error(code, key, f"the {what} “{key.text}” stands twice, first at {where}", "keep one of them")

    def count(self, nodes: int, event: Marked) -> None:
        self.total += nodes
        if self.total > MAX_NODES:
            self.refuse(
                codes.TOO_LARGE,
                event,
                f"with aliases expanded the file has more than {MAX_NODES:,} nodes",
                "split the file, or use fewer aliases",
            )

    def refuse_depth(self, event: Marked) -> NoReturn:
        self.refuse(
            codes.TOO_LARGE,
            event,
            f"nested more than {MAX_LEVELS} levels deep",
            "make a workflow of its own of the inner part",
        )

    def refuse(self, code: str, event: Marked, message: str, hint: str) -> NoReturn:
        self.error(code, event, message, hint)
        raise _Refused

    def error(self, code: str, event: Marked, message: str, hint: str) -> None:
        self.report.error(code, Node(**_mark(event)), message, hint)


def _key_hint(key: ScalarNode, level: int) -> str:
    """Return the hint for a key that is no text; `on` of a workflow is what GitHub Actions has for schedules."""
    if level == _OF_A_WORKFLOW and key.text.lower() == "on":
        return "a schedule is written as `periodic: {interval: 10m}`"
    return f'{QUOTES}: "{key.text}"'


def is_private(name: str) -> bool:
    """Return whether a key at the top holds anchors only, so that it is left alone."""
    return name.startswith(("x-", "."))


def not_text(what: str, node: ScalarNode) -> str:
    """Return the message for a name that YAML reads as a truth value, a number or null."""
    read = _READ_AS.get(node.value) if isinstance(node.value, bool | None) else "a number"
    return f"the {what} “{node.text}” is read as {read}"


_READ_AS: Final = {True: "true", False: "false", None: "null"}


def _mark(event: Marked) -> dict[str, Any]:
    return {"line": event.start_mark.line + 1, "column": event.start_mark.column + 1}


def _offset(event: Scalar, text: str) -> int:
    start, end = event.start_mark, event.end_mark
    quotes = 1 if event.style else 0
    as_written = start.line == end.line and end.column - start.column == len(text) + 2 * quotes
    return quotes if as_written else -1


def _at(text: str, index: int) -> Node:
    return Node(line=text.count("\n", 0, index) + 1, column=index - text.rfind("\n", 0, index))


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
