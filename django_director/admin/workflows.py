"""The list of workflows, the page of a workflow, and the form that starts a run."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from django_director.access.authorization import allowed_rows, is_allowed
from django_director.conf import director
from django_director.exceptions import DirectorError, InvalidPayload
from django_director.models import Run, Workflow
from django_director.presentation import reliability
from django_director.presentation.actions import ACTIONS
from django_director.schedules import descriptions
from django_director.status import Trigger

from . import formatting, graph_files, workflow_page
from .base import VIA, ReadOnlyAdmin, SafeList
from .payload_form import PayloadForm

if TYPE_CHECKING:
    from django.http import HttpResponseBase

START: Final = ACTIONS["start"]
STRIP: Final = 20
"""How many last runs the list shows of each workflow."""


class WorkflowList(SafeList):
    """Reads the last runs of all workflows of a page in two queries."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        runs = last_runs([row for row in self.result_list if is_allowed(request.user, "view_run", row)])
        timings = descriptions.describe_many(self.result_list)
        for workflow in self.result_list:
            workflow.last_runs = runs[workflow.pk]
            workflow.timings = timings[workflow.pk]


def last_runs(workflows: list[Workflow]) -> dict[int, list[Run]]:
    """Return the last ``STRIP`` runs of each workflow, the oldest first. It reads only these rows, by an index."""
    found: dict[int, list[Run]] = defaultdict(list)
    if not workflows:
        return found
    oldest = Run.objects.filter(workflow=OuterRef("pk")).order_by("-pk").values("pk")[STRIP - 1 : STRIP]
    bounds = Workflow.objects.filter(pk__in=[workflow.pk for workflow in workflows]).order_by()
    wanted = Q()
    for pk, bound in bounds.annotate(bound=Subquery(oldest)).values_list("pk", "bound"):
        wanted |= Q(workflow=pk) if bound is None else Q(workflow=pk, pk__gte=bound)
    for run in Run.objects.filter(wanted).defer("payload", "error").order_by("pk"):
        found[run.workflow_id].append(run)
    return found


@admin.register(Workflow)
class WorkflowAdmin(ReadOnlyAdmin[Workflow]):
    view_action = "view_workflow"
    list_display = ("title", "recent", "successes", "takes", "schedule", "is_active", "version")
    list_display_links = ("title",)
    list_filter = ("is_active",)
    search_fields = ("name",)
    ordering = ["name"]
    list_per_page = 25

    def workflow_of(self, obj: Workflow) -> Workflow:
        return obj

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workflow]:
        workflows = (
            Workflow.objects.select_related("current_version")
            .defer("current_version__definition", "current_version__source")
            .order_by("name")
        )
        return allowed_rows(request.user, self.view_action, workflows) if director.AUTHORIZE else workflows

    def get_changelist(self, request: HttpRequest, **kwargs: object) -> type[ChangeList]:
        return WorkflowList

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return (*self.list_display, "run_button") if self.allows(request, "run") else self.list_display

    def get_urls(self) -> list[URLPattern]:
        start = self.guard(require_http_methods(["GET", "POST"])(self.start))
        return [
            path("<int:pk>/run/", start, name="django_director_workflow_run"),
            *graph_files.paths("workflow", "<int:pk>", self.guard(require_GET(self.graph_file))),
            *super().get_urls(),
        ]

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def title(self, workflow: Workflow) -> str:
        return formatting.name(workflow.name)

    @admin.display(description=gettext_lazy("last runs"))
    def recent(self, workflow: Workflow) -> SafeString | str:
        runs: list[Run] = workflow.last_runs  # type: ignore[attr-defined]
        return formatting.strip(runs, self.admin_site.name) if runs else formatting.NOTHING

    @admin.display(description=gettext_lazy("schedule"))
    def schedule(self, workflow: Workflow) -> str:
        timings: list[dict[str, Any]] = workflow.timings  # type: ignore[attr-defined]
        return "; ".join(formatting.timing(timing) for timing in timings) or formatting.NOTHING

    @admin.display(description=gettext_lazy("successes"))
    def successes(self, workflow: Workflow) -> SafeString | str:
        found = reliability.of_runs(workflow.last_runs[::-1])  # type: ignore[attr-defined]
        if found.rate is None:
            return formatting.NOTHING
        if found.failing > 1:
            text = _("%(n)s failures in a row") % {"n": found.failing}
            return format_html("{} {}", formatting.badge("failed", text), formatting.when(found.failing_since))
        return format_html('<span class="director-number">{} %</span>', found.rate)

    @admin.display(description=gettext_lazy("usually takes"))
    def takes(self, workflow: Workflow) -> SafeString:
        found = reliability.of_runs(workflow.last_runs[::-1])  # type: ignore[attr-defined]
        return formatting.unbroken(formatting.seconds(found.usual_seconds))

    @admin.display(description=gettext_lazy("version"))
    def version(self, workflow: Workflow) -> str:
        return str(workflow.current_version.number) if workflow.current_version else formatting.NOTHING

    @admin.display(description="")
    def run_button(self, workflow: Workflow) -> SafeString | str:
        if not START.is_possible(workflow):
            return ""
        return format_html('<a href="{}">{}</a>', self._run_address(workflow), _("Run…"))

    def page(self, request: HttpRequest, obj: Workflow) -> HttpResponse:
        version = workflow_page.chosen_version(request, obj)
        may_run = self.allows(request, START.asks_for(obj), obj) and START.is_possible(obj)
        sees_runs = self.allows(request, "view_run", obj)
        context = workflow_page.context(request, obj, version, self.admin_site.name, sees_runs=sees_runs)
        context["run_address"] = self._run_address(obj) if may_run else None
        return self.render(request, "workflow.html", context)

    def graph_file(self, request: HttpRequest, pk: int, form: str) -> HttpResponseBase:
        """Answer with the graph of a version of a workflow as a file."""
        workflow = self._workflow(request, pk)
        self.require(request, self.view_action, workflow)
        version = workflow_page.chosen_version(request, workflow)
        if version is None:
            raise Http404
        return graph_files.of_version(version, form, request.GET.get("unfold"))

    def _workflow(self, request: HttpRequest, pk: int) -> Workflow:
        workflow = self.get_queryset(request).filter(pk=pk).first()
        if workflow is None:
            raise Http404
        return workflow

    def start(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Show on GET the form that starts a run, and start the run on POST."""
        workflow = self._workflow(request, pk)
        self.require(request, START.asks_for(workflow), workflow)
        version = workflow.current_version
        schema = version.graph.definition.schema if version else None
        form = PayloadForm(schema, request.POST if request.method == "POST" else None)
        if form.is_valid():
            run = _start(request, workflow, form)
            if run is not None:
                return HttpResponseRedirect(formatting.address("run_change", run.pk, site=self.admin_site.name))
        context = {
            "title": _("Run %(name)s") % {"name": formatting.name(workflow.name)},
            "workflow": workflow,
            "description": version.graph.definition.description if version else "",
            "form": form,
            "can_start": START.is_possible(workflow),
        }
        return self.render(request, "start.html", context, status=400 if form.errors else 200)

    def _run_address(self, workflow: Workflow) -> str:
        return formatting.address("workflow_run", workflow.pk, site=self.admin_site.name)


def _start(request: HttpRequest, workflow: Workflow, form: PayloadForm) -> Run | None:
    """Start a run and return it; ``None`` if the form shows why there is none."""
    try:
        run: Run = START.operation(
            workflow,
            form.payload,
            comment=form.cleaned_data["comment"],
            user=request.user,
            trigger=Trigger.ADMIN,
            via=VIA,
        )
    except InvalidPayload as error:
        form.show(error)
    except DirectorError as error:
        form.add_error(None, str(error))
    else:
        return run
    return None
