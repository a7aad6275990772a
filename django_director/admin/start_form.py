"""The form “Run…”: what was entered, what a run with it would do, and the start of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest

from django_director import engine
from django_director.exceptions import DirectorError, InvalidPayload
from django_director.masking.values import MASKED
from django_director.models import Run, Workflow
from django_director.presentation.actions import ACTIONS
from django_director.status import Trigger

from . import formatting, run_preview
from .base import VIA
from .payload_form import PayloadForm

START: Final = ACTIONS["start"]
CHECK: Final = "check"
"""The name of the button that shows what a run would do with what was entered."""
FROM: Final = "from"
"""The parameter with the id of the run with whose payload the form begins."""


class StartForm:
    """Handles one request for the page."""

    def __init__(self, request: HttpRequest, workflow: Workflow, allows: Callable[[str], bool]) -> None:
        """``allows`` tells whether the user may do an action with the workflow."""
        self.request = request
        self.workflow = workflow
        self.version = workflow.current_version
        self.sees_payloads = allows("view_run") and allows("view_payload")
        self.example = self._run_named(request.GET.get(FROM, "")) if self.sees_payloads else None
        self.preview: engine.StartPreview | None = None
        schema = self.version.graph.definition.schema if self.version else None
        data = request.POST if request.method == "POST" else None
        self.form = PayloadForm(schema, data, **self._payload_of_example())

    def start(self) -> Run | None:
        """Start a run and return it; ``None`` if the page is to be shown instead."""
        if not self.form.is_valid():
            return None
        try:
            if CHECK not in self.request.POST:
                return self._start()
            self._check()
        except InvalidPayload as error:
            self.form.show(error)
        except DirectorError as error:
            self.form.add_error(None, str(error))
        return None

    def _check(self) -> None:
        if self.version is not None:
            user, payload = self.request.user, self.form.payload
            self.preview = engine.preview_start(self.version, payload, user=user, trigger=Trigger.ADMIN)

    def _start(self) -> Run:
        run: Run = START.operation(
            self.workflow,
            self.form.payload,
            comment=self.form.cleaned_data["comment"],
            user=self.request.user,
            trigger=Trigger.ADMIN,
            via=VIA,
        )
        return run

    def context(self) -> dict[str, Any]:
        """Return what the template needs."""
        definition = self.version.graph.definition if self.version else None
        return {
            "workflow": self.workflow,
            "description": definition.description if definition else "",
            "form": self.form,
            "can_start": START.is_possible(self.workflow),
            "preview": self.version
            and run_preview.context(self.workflow, self.version, self.request.user, self.preview),
            "example": self.example,
            "last": self._last(),
        }

    def _last(self) -> tuple[Run, Any] | None:
        """Return the last run and when it was, whose payload the form may take; it takes one query."""
        if not self.sees_payloads or self.request.method == "POST":
            return None
        run = self.workflow.runs.order_by("-pk").only("pk", "created_at").first()
        return None if run is None or run == self.example else (run, formatting.when(run.created_at))

    def _run_named(self, text: str) -> Run | None:
        try:
            pk = UUID(text)
        except ValueError:
            return None
        return self.workflow.runs.select_related("version").filter(pk=pk).first()

    def _payload_of_example(self) -> dict[str, Any]:
        if self.example is None or self.version is None:
            return {}
        given = without_masks(engine.shown_payload(self.example, self.version))
        return {"given": given, "real": given}


def without_masks(value: Any) -> Any:
    """Return a masked payload without the properties whose values are hidden: they have to be entered anew."""
    if isinstance(value, dict):
        return {key: without_masks(item) for key, item in value.items() if item != MASKED}
    return [without_masks(item) for item in value] if isinstance(value, list) else value
