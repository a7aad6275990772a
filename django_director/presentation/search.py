"""Finds runs and tasks by what people know of them: the beginning of an id, a name, a key, words of a comment.

A site may have millions of them. So each meaning of a text is looked up by an index first, and a list is asked
only for those meanings that there are: with a choice of several a database would read the whole table.
"""

from __future__ import annotations

import json
from typing import Final
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Cast

from django_director.definitions import HOOK_PREFIX
from django_director.graph import OWN_TASK
from django_director.models import Run, Workflow, WorkflowVersion
from django_director.models.querysets import RunQuerySet, TaskQuerySet

from .lookups import id_span

COMMENTS_SEARCHED: Final = 10_000
"""Words are looked for in so many comments, those of the newest runs: no index knows the words."""
MATCHES: Final = 1_000
"""Of so many runs at most a comment or a key is found."""


def find_runs(runs: RunQuerySet, text: str, *, part_of_name: bool = False) -> RunQuerySet:
    """Return those of ``runs`` that ``text`` may mean.

    It may be the beginning of an id, an idempotency key, the exact name of a user or of a workflow (a part of the
    workflow's name with ``part_of_name``), or words of the comment.
    """
    meanings = []
    named = Q(name__icontains=text) if part_of_name else Q(name=text)
    if workflows := list(Workflow.objects.filter(named).values_list("pk", flat=True)):
        meanings.append(Q(workflow__in=workflows))
    if Run.objects.filter(user_name=text).exists():
        meanings.append(Q(user_name=text))
    if span := id_span(text):
        meanings.append(Q(pk__range=span))
    if found := [*_with_key(text), *_with_comment(text)]:
        meanings.append(Q(pk__in=found))
    return runs.filter(_any_of(meanings)) if meanings else runs.none()


def find_tasks(tasks: TaskQuerySet, text: str) -> TaskQuerySet:
    """Return those of ``tasks`` that ``text`` may mean.

    It may be the beginning of an id, of the task or its run, or the exact name of a step or a Celery task.
    """
    meanings = []
    if span := id_span(text):
        meanings.append(Q(pk__range=span) | Q(run_id__gte=span[0], run_id__lte=span[1]))
    if text.startswith(HOOK_PREFIX):
        meanings.append(Q(is_hook=True, step=text))
    elif text == OWN_TASK:
        meanings.append(Q(name=text))
    elif (versions := _versions_with(text)) is not None:
        meanings.append((Q(step=text) | Q(name=text)) & versions)
    return tasks.filter(_any_of(meanings)) if meanings else tasks.none()


def _any_of(meanings: list[Q]) -> Q:
    where = Q()
    for meaning in meanings:
        where |= meaning
    return where


def _with_key(text: str) -> list[UUID]:
    return list(Run.objects.filter(idempotency_key=text).values_list("pk", flat=True)[:MATCHES])


def _with_comment(text: str) -> list[UUID]:
    """Return the newest runs with this text in the comment."""
    commented = Run.objects.filter(comment__gt="").order_by("-pk")
    oldest = list(commented.values_list("pk", flat=True)[COMMENTS_SEARCHED - 1 : COMMENTS_SEARCHED])
    if oldest:
        commented = commented.filter(pk__gte=oldest[0])
    return list(commented.filter(comment__icontains=text).values_list("pk", flat=True)[:MATCHES])


def _versions_with(text: str) -> Q | None:
    """Return the condition of tasks whose workflow has the text in its definition; ``None`` if none has it.

    Only such tasks can have this step or name.
    """
    versions = WorkflowVersion.objects.annotate(written=Cast("definition", models.TextField()))
    # Some databases keep what `json.dumps` has written, others the characters themselves.
    spelled = Q(written__contains=text) | Q(written__contains=json.dumps(text)[1:-1])
    found = list(versions.filter(spelled).values_list("pk", flat=True))
    if not found:
        return None
    return Q() if len(found) == WorkflowVersion.objects.count() else Q(run__version__in=found)
