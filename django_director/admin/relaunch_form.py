"""The form “Relaunch with changes”, which begins with the payload of the run."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest

from django_director import engine
from django_director.exceptions import DirectorError, InvalidPayload
from django_director.models import Run
from django_director.presentation.relaunch_payloads import changed_payload

from . import formatting, operations
from .payload_form import PayloadForm


class RelaunchForm:
    """Handles one request for the page: the version that the user chose, its form, and the start of the run."""

    def __init__(self, request: HttpRequest, run: Run) -> None:
        self.request = request
        self.run = run
        self.choice = "same" if request.GET.get("version") == "same" else "current"
        self.refusal = ""
        self.form: PayloadForm | None = None
        try:
            version = engine.relaunch_version(run, self.choice)
        except DirectorError as error:
            self.refusal = str(error)
        else:
            data = request.POST if request.method == "POST" else None
            shown = engine.shown_payload(run, version)
            self.form = PayloadForm(version.graph.definition.schema, data, given=shown, real=run.payload)

    def start(self) -> Run | None:
        """Start a new run and return it; ``None`` if the form shows why there is none."""
        form = self.form
        if form is None or not form.is_valid():
            return None
        operation = operations.OF_RUNS["relaunch_with_changes"]
        try:
            user = self.request.user
            payload = changed_payload(self.run, form.payload, self.choice, user=user)
            given = {"payload": payload, "version": self.choice, "comment": form.cleaned_data["comment"]}
            new: Run = operations.perform(self.request, operation, self.run, **given)
        except InvalidPayload as error:
            form.show(error)
        except DirectorError as error:
            form.add_error(None, str(error))
        else:
            messages.success(self.request, operation.message([new]))
            return new
        return None

    def context(self) -> dict[str, Any]:
        """Return what the template needs."""
        return {
            "title": operations.OF_RUNS["relaunch_with_changes"].label,
            "workflow_name": formatting.name(self.run.workflow.name),
            "run": self.run,
            "badge": formatting.badge(self.run.shown_status),
            "refusal": self.refusal,
            "form": self.form,
            "versions": [] if self.refusal else self._versions(),
        }

    def _versions(self) -> list[tuple[str, int, bool]]:
        """Return the versions to choose from: choice, number, whether it is chosen. None if there is only one."""
        current = engine.relaunch_version(self.run, "current")
        if current.pk == self.run.version_id:
            return []
        numbers = {"current": current.number, "same": self.run.version.number}
        return [(choice, number, choice == self.choice) for choice, number in numbers.items()]
