"""The tables of workflows and of their versions.

A version never changes. So each process compiles its graph once and keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_director.definitions import from_json
from django_director.graph import Graph, compile_definition

from .columns import NAME_LENGTH
from .querysets import DirectorManager, WorkflowQuerySet

GRAPHS_KEPT: Final = 256
"""How many compiled definitions a process keeps."""

_graphs: dict[str, Graph] = {}


class Workflow(models.Model):
    """A workflow: its name, its current version, and whether it stands in the files."""

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    current_version = models.ForeignKey(
        "WorkflowVersion", models.PROTECT, null=True, related_name="+", editable=False
    )
    is_active = models.BooleanField(
        _("active"), default=True, help_text="Off when the workflow has left the files."
    )
    retention_offset = models.IntegerField(
        null=True, help_text="How many finished runs are kept; -1: all; empty: the setting's."
    )
    retention_days = models.PositiveIntegerField(null=True, help_text="How long finished runs are kept.")
    allowed_groups = models.JSONField(
        default=list,
        help_text="Names of the groups that may run and steer it; empty: whoever has the permissions.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = DirectorManager.from_queryset(WorkflowQuerySet)()

    class Meta:
        verbose_name = _("workflow")
        verbose_name_plural = _("workflows")
        base_manager_name = "objects"
        ordering: ClassVar = ["name"]
        permissions: ClassVar = [("run_workflow", "Can run workflows")]

    def __str__(self) -> str:
        return self.name


class WorkflowVersion(models.Model):
    """An unchanging definition of a workflow. Each run belongs to the version that it was started with."""

    workflow = models.ForeignKey(Workflow, models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField(help_text="Counts the versions of one workflow from 1.")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the definition.")
    definition = models.JSONField(encoder=DjangoJSONEncoder)
    source = models.TextField(help_text="The text in the file.")
    path = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DirectorManager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workflow", "content_hash"], name="director_version_hash"),
            models.UniqueConstraint(fields=["workflow", "number"], name="director_version_number"),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"

    @property
    def graph(self) -> Graph:
        """The compiled definition; each process compiles it once."""
        graph = _graphs.get(self.content_hash)
        if graph is None:
            graph = compile_definition(from_json(self.definition), self.content_hash)
            _graphs[self.content_hash] = graph
            while len(_graphs) > GRAPHS_KEPT:
                _graphs.pop(next(iter(_graphs)), None)
        return graph


def load_graphs(versions: Iterable[WorkflowVersion]) -> None:
    """Compile the graphs that this process does not have yet. It takes one query at most."""
    lacking = {version.pk for version in versions if version.content_hash not in _graphs}
    for version in WorkflowVersion.objects.filter(pk__in=lacking).defer("source") if lacking else ():
        version.graph  # noqa: B018 - this keeps it


def graph_of(content_hash: str) -> Graph:
    """Return the compiled definition with this hash; it takes a query if this process does not have it yet.

    Raises ``WorkflowVersion.DoesNotExist``.
    """
    graph = _graphs.get(content_hash)
    if graph is not None:
        return graph
    version: WorkflowVersion | None = WorkflowVersion.objects.filter(content_hash=content_hash).first()
    if version is None:
        raise WorkflowVersion.DoesNotExist(content_hash)
    return version.graph
