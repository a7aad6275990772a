"""What people do with one task of a run: authorise, call one operation, say how it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from django_director import engine
from django_director.access.authorization import require
from django_director.exceptions import DirectorError
from django_director.models import COMMENT_LENGTH, Task
from django_director.status import TASK_RETRYABLE

from . import formatting
from .base import VIA


@dataclass(frozen=True, kw_only=True)
class TaskOperation:
    """A button of a task."""

    name: str
    permission: str
    """The action of ``authorization`` it asks for."""
    label: str | Promise
    perform: Callable[[Task, Any, str], Task]
    """Called with the task, the user and the comment."""
    preview: Callable[[Task], engine.Preview]
    is_possible: Callable[[Task], bool]
    done: str | Promise
    """What the message says, with the ``step``."""
    comment_length: int = 0
    """How long a comment may be; 0: it takes none."""


def _rerun(task: Task, user: Any, comment: str) -> Task:
    return engine.rerun(task, user=user, via=VIA)


def _skip(task: Task, user: Any, comment: str) -> Task:
    return engine.skip(task, user=user, comment=comment, via=VIA)


def _is_resettable(task: Task) -> bool:
    return task.run.parent_task_id is None and task.run.is_finished and not task.is_hook


ALL: Final = {
    operation.name: operation
    for operation in (
        TaskOperation(
            name="rerun",
            permission="retry",
            label=gettext_lazy("Rerun from here"),
            perform=_rerun,
            preview=engine.preview_rerun,
            is_possible=_is_resettable,
            done=gettext_lazy("“%(step)s” and everything downstream of it run again."),
        ),
        TaskOperation(
            name="skip",
            permission="retry",
            label=gettext_lazy("Skip"),
            perform=_skip,
            preview=engine.preview_skip,
            is_possible=lambda task: _is_resettable(task) and task.status in TASK_RETRYABLE,
            done=gettext_lazy("“%(step)s” is skipped, and everything downstream of it runs again."),
            comment_length=COMMENT_LENGTH,
        ),
    )
}


def on_task(request: HttpRequest, operation: TaskOperation, task: Task) -> Task:
    """Do it; what the state does not allow becomes a warning."""
    comment = request.POST.get("comment", "") if operation.comment_length else ""
    try:
        require(request.user, operation.permission, task.run.workflow)
        task = operation.perform(task, request.user, comment)
    except DirectorError as error:
        messages.warning(request, str(error))
        return task
    messages.success(request, str(operation.done) % {"step": formatting.name(task.label)})
    return task
