"""Follows the references in a JSON Schema as the check of a payload does; nothing is ever fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from jsonschema_specifications import REGISTRY as SPECIFICATIONS  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

if TYPE_CHECKING:
    from referencing import _core

Resolver: TypeAlias = "_core.Resolver[Any]"

KEYWORDS: Final = ("$ref", "$dynamicRef", "$recursiveRef")


class References:
    """The references in one JSON Schema. It reads the schema when it gets the first of them."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._resolvers: dict[int, Resolver] = {}
        """What resolves the references in a part of the schema, by the ``id`` of that part."""
        self._dynamic: list[Mapping[str, Any]] = []
        """The parts to which a dynamic reference may lead."""
        self._found: dict[int, list[object]] = {}

    def targets(self, schema: Mapping[str, Any]) -> list[object]:
        """Return all to which the references of ``schema``, a part of the root schema, may lead.

        Where a dynamic reference leads depends on the references that were followed before it. So all schemas
        with its anchor are returned. A reference that leads nowhere gives nothing: with such a schema no run
        starts.
        """
        if not any(isinstance(schema.get(keyword), str) for keyword in KEYWORDS):
            return []
        if id(schema) not in self._found:
            self._found[id(schema)] = list(self._targets(schema))
        return self._found[id(schema)]

    def target(self, schema: Mapping[str, Any], address: str) -> object:
        """Return what ``address``, a ``$ref`` in a part of the root schema, leads to; ``None``: nothing."""
        begun = self._resolver
        return next(self._look_up(self._resolvers.get(id(schema), begun), address), None)

    def _targets(self, schema: Mapping[str, Any]) -> Iterator[object]:
        begun = self._resolver
        for keyword in KEYWORDS:
            address = schema.get(keyword)
            if not isinstance(address, str):
                continue
            yield from self._look_up(self._resolvers.get(id(schema), begun), address)
            if keyword == "$dynamicRef":
                anchor = address.rpartition("#")[2]
                yield from (part for part in self._dynamic if part.get("$dynamicAnchor") == anchor)
            elif keyword == "$recursiveRef":
                yield from (part for part in self._dynamic if part.get("$recursiveAnchor") is True)

    def _look_up(self, resolver: Resolver | None, address: str) -> Iterator[object]:
        if resolver is None:
            return
        try:
            found = resolver.lookup(address)
            resource = Resource.from_contents(found.contents, default_specification=DRAFT202012)
        # A schema that was not checked may make the library raise any error.
        except Exception:
            return
        self._note(resource, found.resolver)
        yield found.contents

    @cached_property
    def _resolver(self) -> Resolver | None:
        """What resolves the references of the root schema; ``None`` if the schema is no usable one."""
        try:
            resource: Resource[Any] = Resource.from_contents(self._root, default_specification=DRAFT202012)
            registry: Registry[Any] = SPECIFICATIONS.with_resource(resource.id() or "", resource)
            resolver = _crawled(registry).resolver_with_root(resource)
        # A schema that was not checked may make the library raise any error.
        except Exception:
            return None
        self._note(resource, resolver)
        return resolver

    def _note(self, resource: Resource[Any], resolver: Resolver) -> None:
        """Note what resolves the references in each part of a schema: it depends on the ``$id`` around them."""
        left = [(resource, resolver)]
        while left:
            resource, resolver = left.pop()
            part = resource.contents
            if not isinstance(part, Mapping) or id(part) in self._resolvers:
                continue
            self._resolvers[id(part)] = resolver
            if "$dynamicAnchor" in part or "$recursiveAnchor" in part:
                self._dynamic.append(part)
            left += _inside(resource, resolver)


def _crawled(registry: Registry[Any]) -> Registry[Any]:
    """Return a registry that knows its anchors: else it would look for each of them in the whole schema."""
    try:
        return registry.crawl()
    # The library can't read all schemas of draft 3. It finds their other references all the same.
    except Exception:
        return registry


def _inside(resource: Resource[Any], resolver: Resolver) -> Iterator[tuple[Resource[Any], Resolver]]:
    """Yield the schemas directly in a schema, each with what resolves its references."""
    try:
        for inner in resource.subresources():
            if isinstance(inner.contents, Mapping):
                yield inner, resolver.in_subresource(inner)
    # A schema that was not checked may make the library raise any error.
    except Exception:
        return
