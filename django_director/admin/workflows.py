"""The list of workflows, the page of a workflow, and the form that starts a run."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from django_director.access.authorization import allowed_rows, is_allowed
from django_director.conf import director
from django_director.models import Workflow
from django_director.presentation import stamps, track_records
from django_director.schedules import descriptions

from . import formatting, graph_files, live_pages, workflow_columns, workflow_page
from .base import MissingPermission, ReadOnlyAdmin, SafeList
from .schedule_pages import SchedulePages
from .start_form import START, StartForm

if TYPE_CHECKING:
    from django.http import HttpResponseBase


SCHEDULES_SECONDS: Final = 60
"""How old what the list shows of schedules may be when it asks for an update."""


class WorkflowList(SafeList):
    """Reads what is shown of all workflows of a page at once."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Workflow]:
        # A definition may be large: the database takes the description out.
        found: QuerySet[Workflow] = super().get_queryset(request, exclude_parameters)
        return found.annotate(summary=KeyTextTransform("description", "current_version__definition"))

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        # What asks for an update has another address than the list to which a person returns.
        here = formatting.address("workflow_changelist", site=self.model_admin.admin_site.name)
        listed_at = f"{here}?{request.GET.urlencode()}" if request.GET else here
        pages: SchedulePages = self.model_admin.schedules  # type: ignore[attr-defined]
        records = track_records.of_workflows([row for row in rows if is_allowed(request.user, "view_run", row)])
        timings = descriptions.describe_for_pages(rows)
        for row in rows:
            row.record = records.get(row.pk) or track_records.Record()
            row.timings = timings[row.pk]
            row.may_switch = pages.may(request, row)
            row.listed_at = listed_at
        self.result_list = rows


@admin.register(Workflow)
class WorkflowAdmin(ReadOnlyAdmin[Workflow]):
    view_action = "view_workflow"
    list_display = ("title", "recent", "successes", "takes", "planned")
    list_display_links = ("title",)
    list_filter = ("is_active",)
    search_fields = ("name",)
    ordering = ["name"]
    list_per_page = 25
    is_live = True
    keeps_rows = False
    list_poll = 10
    """Seconds between two live updates of the list, at least."""

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

    @cached_property
    def schedules(self) -> SchedulePages:
        """The pages of the schedules of workflows."""
        return SchedulePages(self)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return (*self.list_display, "run_button") if self.allows(request, "run") else self.list_display

    def get_urls(self) -> list[URLPattern]:
        start = self.guard(require_http_methods(["GET", "HEAD", "POST"])(self.start))
        return [
            path("live/", self.guard(require_safe(self.live_list)), name="django_director_workflow_list_live"),
            path("<int:pk>/run/", start, name="django_director_workflow_run"),
            *self.schedules.urls(),
            *graph_files.paths("workflow", "<int:pk>", self.guard(require_safe(self.graph_file))),
            *super().get_urls(),
        ]

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def title(self, workflow: Workflow) -> SafeString:
        return workflow_columns.title(workflow)

    @admin.display(description=gettext_lazy("last runs"))
    def recent(self, workflow: Workflow) -> SafeString | str:
        return workflow_columns.recent(workflow, self.admin_site.name)

    @admin.display(description=gettext_lazy("successes in 30 days"))
    def successes(self, workflow: Workflow) -> SafeString | str:
        return workflow_columns.successes(workflow)

    @admin.display(description=gettext_lazy("usually takes"))
    def takes(self, workflow: Workflow) -> SafeString | str:
        return workflow_columns.takes(workflow)

    @admin.display(description=gettext_lazy("schedules"))
    def planned(self, workflow: Workflow) -> SafeString | str:
        return workflow_columns.planned(workflow, self.admin_site.name)

    @admin.display(description="")
    def run_button(self, workflow: Workflow) -> SafeString | str:
        if not START.is_possible(workflow):
            return ""
        return format_html('<a href="{}">{}</a>', self._run_address(workflow), _("Run…"))

    def live_list(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with the list as it is now, or with 304 if the script has it already."""
        if not self.has_view_permission(request):
            raise MissingPermission(self.view_action)
        stamp = stamps.of_last_runs(), datetime.now(UTC).timestamp() // SCHEDULES_SECONDS
        draw = partial(live_pages.draw_list, request)
        return live_pages.answer_list(request, stamp, lambda: draw(self.get_changelist_instance(request)))

    def page(self, request: HttpRequest, obj: Workflow) -> HttpResponse:
        version = workflow_page.chosen_version(request, obj)
        may_run = self.allows(request, START.asks_for(obj), obj) and START.is_possible(obj)
        sees_runs = self.allows(request, "view_run", obj)
        context = workflow_page.context(request, obj, version, self.admin_site.name, sees_runs=sees_runs)
        context["run_address"] = self._run_address(obj) if may_run else None
        if self.schedules.may(request, obj):
            context["schedule_add"] = self._address("schedule_add", obj)
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
        page = StartForm(request, workflow, lambda action: self.allows(request, action, workflow))
        run = page.start() if request.method == "POST" else None
        if run is not None:
            if not run.is_finished:
                text = _("A run of “%(name)s” was started.") % {"name": formatting.name(workflow.name)}
                messages.success(request, text)
            return HttpResponseRedirect(formatting.address("run_change", run.pk, site=self.admin_site.name))
        title = _("Run %(name)s") % {"name": formatting.name(workflow.name)}
        status = 400 if page.form.errors else 200
        return self.render(request, "start.html", {"title": title, **page.context()}, status=status)

    def _run_address(self, workflow: Workflow) -> str:
        return self._address("run", workflow)

    def _address(self, page: str, workflow: Workflow) -> str:
        return formatting.address(f"workflow_{page}", workflow.pk, site=self.admin_site.name)
