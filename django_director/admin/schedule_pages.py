"""The pages on which people add, change, switch and delete the schedules of a workflow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from django_director.exceptions import Conflict
from django_director.models import Workflow
from django_director.presentation.actions import ACTIONS
from django_director.schedules import beat_rows, by_hand
from django_director.schedules.timings import PeriodicRow

from . import formatting, returns
from .base import VIA, ReadOnlyAdmin
from .schedule_form import ScheduleForm

if TYPE_CHECKING:
    from django.http import HttpResponseBase

ACTION: Final = "schedule"
"""The action that ``authorization`` must allow before a user changes a schedule."""

Page = Callable[..., HttpResponse]
"""A view that gets the request, the workflow and, where the address names one, the ``row`` of a schedule."""


class SchedulePages:
    """The views below the page of a workflow; they exist only where django-celery-beat is installed."""

    def __init__(self, admin: ReadOnlyAdmin[Workflow]) -> None:
        self.admin = admin

    def urls(self) -> list[URLPattern]:
        """Return the addresses, below that of the admin of workflows."""
        if not beat_rows.is_installed():
            return []
        either, row = require_http_methods(["GET", "HEAD", "POST"]), "<int:pk>/schedules/<int:row>"
        return [
            path("<int:pk>/schedules/add/", self._view(either, self.add), name=self._name("add")),
            path(f"{row}/", self._view(either, self.change), name=self._name("change")),
            path(f"{row}/switch/", self._view(require_POST, self.switch), name=self._name("switch")),
            path(f"{row}/delete/", self._view(either, self.delete), name=self._name("delete")),
        ]

    def may(self, request: HttpRequest, workflow: Workflow) -> bool:
        """Whether pages offer the user changes of this workflow's schedules."""
        return beat_rows.is_installed() and self.admin.allows(request, ACTION, workflow)

    @staticmethod
    def _name(verb: str) -> str:
        return f"django_director_workflow_schedule_{verb}"

    def _view(
        self, methods: Callable[[Any], Any], view: Callable[..., HttpResponse]
    ) -> Callable[..., HttpResponseBase]:
        return self.admin.guard(methods(partial(self._find, view)))

    def _find(self, view: Page, request: HttpRequest, pk: int, row: int | None = None) -> HttpResponse:
        """Call a view with the rows that the address names, if the user may change schedules of the workflow."""
        workflow = self.admin.get_queryset(request).filter(pk=pk).first()
        if workflow is None:
            raise Http404
        self.admin.require(request, ACTION, workflow)
        if row is None:
            return view(request, workflow)
        found = by_hand.find(workflow, row)
        if found is None and beat_rows.periodic_tasks().filter(pk=row).exists():
            raise Http404
        if found is None:
            messages.error(request, _("This schedule is not there any more: somebody has deleted it."))
            return self._back(request, workflow)
        return view(request, workflow, row=found)

    def add(self, request: HttpRequest, workflow: Workflow) -> HttpResponse:
        """Show the form of a new schedule; add it when a person has seen its next times."""
        if not ACTIONS["start"].is_possible(workflow):
            raise Http404
        form = self._form(request, workflow, None)
        if self._is_confirmed(request, form):
            name = form.cleaned_data["name"]
            done = _("The schedule “%(name)s” was added.") % {"name": formatting.name(name)}
            add = partial(by_hand.add, workflow, name, form.schedule, user=request.user, via=VIA)
            if self._did(request, form, add, done):
                return self._back(request, workflow)
        return self._show_form(request, workflow, form, _("Add a schedule"))

    def change(self, request: HttpRequest, workflow: Workflow, row: PeriodicRow) -> HttpResponse:
        """Show the form of a schedule; change it when a person has seen its next times."""
        if not by_hand.is_editable(row):
            raise Http404
        form = self._form(request, workflow, row)
        if self._is_confirmed(request, form):
            done = _("The schedule “%(name)s” was changed.") % {"name": formatting.name(row.name)}
            seen = str(request.POST.get("seen"))
            write = partial(by_hand.change, workflow, row.pk, form.schedule, seen=seen, user=request.user, via=VIA)
            if self._did(request, form, write, done):
                return self._back(request, workflow)
        return self._show_form(
            request, workflow, form, _("Change the schedule “%(name)s”") % {"name": formatting.name(row.name)}
        )

    def switch(self, request: HttpRequest, workflow: Workflow, row: PeriodicRow) -> HttpResponse:
        """Switch a schedule on or off, and go back to where the button was."""
        if request.POST.get("to") not in ("on", "off"):
            return HttpResponseBadRequest("“to” is “on” or “off”")
        enabled = request.POST["to"] == "on"
        try:
            is_new = by_hand.switch(workflow, row.pk, enabled=enabled, user=request.user, via=VIA)
        except Conflict as error:
            messages.error(request, formatting.sentence(str(error)))
            return self._back(request, workflow)
        texts = {
            (True, True): _("The schedule “%(name)s” is switched on."),
            (True, False): _("The schedule “%(name)s” is switched off."),
            (False, True): _("The schedule “%(name)s” was switched on already."),
            (False, False): _("The schedule “%(name)s” was switched off already."),
        }
        messages.success(request, texts[is_new, enabled] % {"name": formatting.name(row.name)})
        return self._back(request, workflow)

    def delete(self, request: HttpRequest, workflow: Workflow, row: PeriodicRow) -> HttpResponse:
        """Ask before a schedule is deleted, and delete it on POST."""
        if by_hand.is_of_file(row):
            raise Http404
        refusal = ""
        if request.method == "POST":
            try:
                seen = str(request.POST.get("seen"))
                by_hand.delete(workflow, row.pk, seen=seen, user=request.user, via=VIA)
            except Conflict as error:
                refusal = formatting.sentence(str(error))
            else:
                messages.success(
                    request, _("The schedule “%(name)s” was deleted.") % {"name": formatting.name(row.name)}
                )
                return self._back(request, workflow)
        title = _("Delete the schedule “%(name)s”") % {"name": formatting.name(row.name)}
        context = {"title": title, "workflow": workflow, "refusal": refusal, "seen": by_hand.state_of(row)}
        return self.admin.render(request, "schedule_delete.html", context, status=409 if refusal else 200)

    def _form(self, request: HttpRequest, workflow: Workflow, row: PeriodicRow | None) -> ScheduleForm:
        return ScheduleForm(
            request.POST if request.method == "POST" else None,
            version=workflow.current_version,
            row=row,
            sees_payload=self.admin.allows(request, "view_payload", workflow),
        )

    @staticmethod
    def _is_confirmed(request: HttpRequest, form: ScheduleForm) -> bool:
        """Whether a valid form comes from a page that has shown the next times of this very timing."""
        return form.is_valid() and request.POST.get("previewed") == form.timing

    @staticmethod
    def _did(request: HttpRequest, form: ScheduleForm, do: Callable[[], None], done: str) -> bool:
        try:
            do()
        except Conflict as error:
            form.add_error(None, formatting.sentence(str(error)))
            return False
        messages.success(request, done)
        return True

    def _show_form(self, request: HttpRequest, workflow: Workflow, form: ScheduleForm, title: str) -> HttpResponse:
        is_good = form.is_bound and form.is_valid()
        context = {
            "title": title,
            "workflow": workflow,
            "form": form,
            "zone": form.zone if is_good else "",
            "previewed": form.timing if is_good else "",
            "is_changed": is_good and request.POST.get("previewed", form.timing) != form.timing,
            "times": form.next_times() if is_good else None,
            # What somebody else has saved meanwhile counts as seen only when the page is opened anew.
            "seen": request.POST.get("seen") or (by_hand.state_of(form.row) if form.row is not None else ""),
        }
        return self.admin.render(request, "schedule.html", context, status=400 if form.has_errors else 200)

    def _back(self, request: HttpRequest, workflow: Workflow) -> HttpResponse:
        otherwise = formatting.address("workflow_change", workflow.pk, site=self.admin.admin_site.name)
        return HttpResponseRedirect(returns.address(request, otherwise))


def switch_label(timing: dict[str, Any]) -> str:
    """Return what a screen reader says of the button that switches a schedule."""
    text = _("Switch off %(name)s") if timing["enabled"] else _("Switch on %(name)s")
    return text % {"name": formatting.readable(formatting.name(timing["name"]))}
