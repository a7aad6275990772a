"""Finds runs and tasks by what people know of them: the beginning of an id, a name, a key, words.

A site may have millions of them. So each meaning of a text is looked up by an index first, and a list is asked
only for those meanings that there are: with a choice of several a database would read the whole table.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from uuid import UUID

from django.db import models
from django.db.models import F, Q, QuerySet, Subquery, UUIDField, Value
from django.db.models.functions import Cast, Coalesce

from django_director.access.answers import Answers
from django_director.definitions import HOOK_PREFIX
from django_director.graph import OWN_TASK
from django_director.models import Run, Workflow, WorkflowVersion
from django_director.models.querysets import RunQuerySet, TaskQuerySet

from .lookups import id_span

COMMENTS_SEARCHED: Final = 10_000
"""Words are looked for in so many comments, those of the newest runs: no index knows the words."""
ERRORS_SEARCHED: Final = 10_000
"""Words are looked for in the errors of so many failed runs, the newest."""
MATCHES: Final = 1_000
"""Of so many runs at most a comment, an error or a key is found."""
WORDS: Final = 10
"""So many words of a text are looked for in comments and errors."""
VERSIONS_SEARCHED: Final = 20
"""In so many versions, the newest that have the step, an item of a map is looked for."""
ITEM_RUNS: Final = 200
"""In so many runs of each workflow, the newest, an item of a map is looked for."""
USER: Final = "user"
_ITEM: Final = re.compile(r"(.+)\[([0-9]{1,9})\]")
_FIRST: Final = UUID(int=0)


def find_runs(runs: RunQuerySet, text: str, answers: Answers) -> RunQuerySet:
    """Return those of ``runs`` that ``text`` may mean. It takes two queries, which read a bounded number of rows.

    It may be the beginning of an id, an idempotency key, the exact name of a user, a part of the name of a
    workflow, words of the comment, or words of the error as far as the user of ``answers`` may see it. Of several
    words a comment or an error has all, in any order.
    """
    meanings = []
    if workflows := list(Workflow.objects.filter(name__icontains=text).values_list("pk", flat=True)):
        meanings.append(Q(workflow__in=workflows))
    if span := id_span(text):
        meanings.append(Q(pk__range=span))
    parts = [_of_user(text), _with_key(text), _with_comment(text), _with_error(text, answers)]
    # A user and a key come first: a thousand comments must not push them out.
    found = parts[0].union(*parts[1:], all=True).order_by("-meaning", "-run")[:MATCHES]
    rows = list(found)
    if any(meaning == USER for meaning, _ in rows):
        meanings.append(Q(user_name=text))
    if named := [run for meaning, run in rows if meaning != USER]:
        meanings.append(Q(pk__in=named))
    return runs.filter(_any_of(meanings)) if meanings else runs.none()


def find_tasks(tasks: TaskQuerySet, text: str) -> TaskQuerySet:
    """Return those of ``tasks`` that ``text`` may mean.

    It may be the beginning of an id, of the task or its run, the exact name of a step or a Celery task, or an item
    of a map as pages name it: ``PRICE[13]``, which is looked for in the newest runs.
    """
    meanings = []
    if span := id_span(text):
        meanings.append(Q(pk__range=span) | Q(run_id__gte=span[0], run_id__lte=span[1]))
    if text.startswith(HOOK_PREFIX):
        meanings.append(Q(is_hook=True, step=text))
    elif text == OWN_TASK:
        meanings.append(Q(name=text))
    elif item := _ITEM.fullmatch(text):
        meanings.append(_of_item(item[1], int(item[2])))
    elif (versions := _versions_with(text)) is not None:
        meanings.append((Q(step=text) | Q(name=text)) & versions)
    return tasks.filter(_any_of(meanings)) if meanings else tasks.none()


def _any_of(meanings: list[Q]) -> Q:
    where = Q()
    for meaning in meanings:
        where |= meaning
    return where


def _as(meaning: str, runs: RunQuerySet) -> QuerySet[Any, Any]:
    named: QuerySet[Any, Any] = runs.order_by().annotate(meaning=Value(meaning), run=F("pk"))
    return named.values_list("meaning", "run")


def _of_user(text: str) -> QuerySet[Any, Any]:
    """Select the newest run that the user with this name has started: it tells whether there is one."""
    newest = Run.objects.filter(user_name=text).order_by("-pk").values("pk")[:1]
    return _as(USER, Run.objects.filter(pk=Subquery(newest)))


def _with_key(text: str) -> QuerySet[Any, Any]:
    return _as("key", Run.objects.filter(idempotency_key=text))


def _with_comment(text: str) -> QuerySet[Any, Any]:
    """Select the newest runs with these words in the comment."""
    commented = Run.objects.filter(comment__gt="")
    return _as("comment", _newest(commented, COMMENTS_SEARCHED).filter(_has_words("comment", text)))


def _with_error(text: str, answers: Answers) -> QuerySet[Any, Any]:
    """Select the newest failed runs with these words in the error, of workflows whose errors the user may see."""
    failed = Run.objects.failed().filter(answers.where("view_payload", "workflow"))
    return _as("error", _newest(failed, ERRORS_SEARCHED).filter(_has_words("error", text)))


def _has_words(column: str, text: str) -> Q:
    """Return the condition of rows that have each of the words, or parts of words, in any order."""
    return Q(*(Q(**{f"{column}__icontains": word}) for word in text.split()[:WORDS]))


def _of_item(step: str, index: int) -> Q:
    """Return the condition of the tasks that a step in a map has for an item, in the newest runs.

    No index knows steps: so the runs and the positions are named, with which an index begins.
    """
    versions = list(_written_with(step).order_by("-pk")[:VERSIONS_SEARCHED])
    places = {node.position for version in versions for node in version.graph.bodies if node.step.id == step}
    runs: list[UUID] = []
    for workflow in {version.workflow_id for version in versions}:
        own = Run.objects.filter(workflow=workflow).order_by("-pk")
        runs += own.values_list("pk", flat=True)[:ITEM_RUNS]
    return Q(run__in=runs, position__in=places, map_index=index, step=step)


def _newest(runs: RunQuerySet, number: int) -> RunQuerySet:
    """Select the newest ``number`` of ``runs``, by a condition: parts of a query can't be cut on all databases."""
    oldest = runs.order_by("-pk").values("pk")[number - 1 : number]
    return runs.filter(pk__gte=Coalesce(Subquery(oldest), Value(_FIRST, output_field=UUIDField())))


def _versions_with(text: str) -> Q | None:
    """Return the condition of tasks whose workflow has the text in its definition; ``None`` if none has it.

    Only such tasks can have this step or name.
    """
    found = list(_written_with(text).values_list("pk", flat=True))
    if not found:
        return None
    return Q() if len(found) == WorkflowVersion.objects.count() else Q(run__version__in=found)


def _written_with(text: str) -> QuerySet[WorkflowVersion]:
    """Select the versions with this text in their definition."""
    versions = WorkflowVersion.objects.annotate(written=Cast("definition", models.TextField()))
    # Some databases keep what `json.dumps` has written, others the characters themselves.
    spelled = Q(written__contains=text) | Q(written__contains=json.dumps(text)[1:-1])
    found: QuerySet[WorkflowVersion] = versions.filter(spelled)
    return found
