"""The list of runs, the page of a run, and the buttons that steer runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from django_director.access.answers import Answers
from django_director.conf import director
from django_director.models import Run, Workflow
from django_director.models.querysets import RunQuerySet
from django_director.presentation import search, stamps

from . import (
    confirm,
    data_tab,
    filters,
    formatting,
    graph_files,
    live,
    many,
    merged_log,
    operations,
    overview,
    returns,
    run_filters,
    run_page,
    system_page,
)
from .attachments import as_file
from .base import MissingPermission
from .live_pages import LiveAdmin
from .relaunch_form import RelaunchForm
from .run_columns import RunColumns, RunList

if TYPE_CHECKING:
    from django.http import HttpResponseBase


ON_MANY: Final = ("cancel", "retry", "relaunch")
"""The operations that people do to many runs at once."""


@admin.register(Run)
class RunAdmin(RunColumns, LiveAdmin[Run]):
    view_action = "view_run"
    newest_first = "pk"
    stamp_of_rows = staticmethod(stamps.of_runs)
    list_display = ("run", "state", "error_text", "started", "took", "progress", "who")
    list_display_links = ("run",)
    list_filter = (
        run_filters.YoursFilter,
        run_filters.RetryingFilter,
        run_filters.StatusFilter,
        filters.WorkflowOfRun,
        "trigger",
        filters.UserFilter,
        filters.CreatedFilter,
        run_filters.EndedFilter,
        run_filters.CauseFilter,
        run_filters.RepairedFilter,
        run_filters.FamilyFilter,
    )
    search_fields = ("comment",)
    search_help_text = _(
        "The beginning of an id, a part of a workflow's name, a user's exact name, an idempotency key, or words "
        "of the comment (of the last 10,000 comments) or of the error (of the last 10,000 failed runs)"
    )
    ordering = ["-pk"]
    actions = ["cancel_runs", "retry_runs", "relaunch_runs"]

    def workflow_of(self, obj: Run) -> Workflow:
        return obj.workflow

    def name_of(self, obj: Run) -> str:
        return f"{formatting.name(obj.workflow.name)} {formatting.short_id(obj.pk)}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        runs = Run.objects.for_listing()
        if director.AUTHORIZE:
            runs = runs.filter(Answers.of(request).where(self.view_action, "workflow"))
        return runs.order_by("-pk")

    def get_changelist(self, request: HttpRequest, **kwargs: object) -> type[ChangeList]:
        return RunList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        term, runs = search_term.strip(), cast(RunQuerySet, queryset)
        return (search.find_runs(runs, term, Answers.of(request)) if term else queryset), False

    def get_urls(self) -> list[URLPattern]:
        return [
            *graph_files.paths("run", "<uuid:run_id>", self.guard(require_safe(self.graph_file))),
            path("<uuid:run_id>/log/", self.guard(require_safe(self.log)), name="django_director_run_log"),
            *(
                path(
                    f"<uuid:run_id>/{name}/",
                    self.guard(require_safe(self.data)),
                    {"answer": answer},
                    name=f"django_director_run_{name}",
                )
                for name, answer in (("payload", data_tab.payload_file), ("result", data_tab.result_file))
            ),
            *(
                path(
                    f"<uuid:run_id>/{name}/",
                    self.guard(require_http_methods(["GET", "HEAD", "POST"])(self.operate)),
                    {"name": name},
                    name=f"django_director_run_{name}",
                )
                for name in operations.OF_RUNS
            ),
            *(
                path(
                    f"many/{name}/",
                    self.guard(require_http_methods(["GET", "HEAD", "POST"])(self.operate_on_many)),
                    {"name": name},
                    name=f"django_director_run_many_{name}",
                )
                for name in ON_MANY
            ),
            path("overview/", self.guard(require_safe(self.overview)), name="django_director_overview"),
            path("system/", self.guard(require_safe(self.system)), name="django_director_system"),
            *super().get_urls(),
        ]

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return self.allows(request, "cancel")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return self.allows(request, "retry")

    @admin.action(description=_("Cancel…"), permissions=["cancel"])
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse:
        return self._preview_many(request, "cancel", queryset)

    @admin.action(description=_("Retry failed…"), permissions=["retry"])
    def retry_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse:
        return self._preview_many(request, "retry", queryset)

    @admin.action(description=_("Relaunch…"), permissions=["retry"])
    def relaunch_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse:
        return self._preview_many(request, "relaunch", queryset)

    def operate_on_many(self, request: HttpRequest, name: str) -> HttpResponseBase:
        """Show what the operation would do to the runs of a cause; on POST do it to those that the form names."""
        operation = operations.OF_RUNS[name]
        if not all(self.allows(request, action) for action in (self.view_action, *operation.asks_for)):
            raise MissingPermission(operation.asks_for[0])
        runs = self.get_queryset(request)
        if request.method == "GET":
            found = run_filters.runs_of_cause(request, runs, request.GET.get("cause", ""))
            return self._preview_many(request, name, runs.filter(pk__in=found))
        chosen = runs.filter(pk__in=many.chosen_ids(request))
        operations.perform_on_many(request, operation.chosen(request.POST), chosen, self.admin_site.name)
        return HttpResponseRedirect(returns.address(request, self._list_address()))

    def _preview_many(self, request: HttpRequest, name: str, runs: QuerySet[Run]) -> HttpResponse:
        operation = operations.OF_RUNS[name]
        selection = many.select(request, operation, cast(RunQuerySet, runs))
        here = request.get_full_path() if request.method == "POST" else self._list_address()
        context = {
            **many.context(operation, selection, request.user),
            "action": formatting.address(f"run_many_{name}", site=self.admin_site.name),
            "next": returns.address(request, here),
        }
        return self.render(request, "many.html", context)

    def _list_address(self) -> str:
        return formatting.address("run_changelist", site=self.admin_site.name)

    def page(self, request: HttpRequest, obj: Run) -> HttpResponse:
        permitted = self._permitted(request, obj)
        sees_payload = self.allows(request, "view_payload", obj)
        sees = {"sees_payload": sees_payload, "sees_tasks": self.allows(request, "view_task", obj)}
        context = run_page.context(request, obj, permitted, self.admin_site.name, **sees)
        return self.render(request, "run.html", context)

    def stamp(self, request: HttpRequest, obj: Run) -> object:
        has_log = request.GET.get("tab") == "log"
        return stamps.of_run(obj), stamps.of_logs(task__run=obj.pk) if has_log else None

    def data(self, request: HttpRequest, run_id: UUID, answer: Callable[[Run], HttpResponse]) -> HttpResponse:
        """Answer with the payload or the result of a run as a file."""
        run = self._visible_run(request, run_id)
        self.require(request, "view_payload", run)
        return answer(run)

    def graph_file(self, request: HttpRequest, run_id: UUID, form: str) -> HttpResponseBase:
        """Answer with the graph of a run as a file."""
        run = self._visible_run(request, run_id)
        self.require(request, "view_task", run)
        return graph_files.of_run(run, form, request.GET.get("unfold"))

    def log(self, request: HttpRequest, run_id: UUID) -> HttpResponseBase:
        """Answer with the whole log of a run as a file."""
        run = self._visible_run(request, run_id)
        for action in ("view_task", "view_payload"):
            self.require(request, action, run)
        response = StreamingHttpResponse(merged_log.as_text(run), content_type="text/plain; charset=utf-8")
        return as_file(response, f"{run.pk}.log")

    def overview(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with the overview alone, or with 304, for its live updates."""
        if not self.has_view_permission(request):
            raise MissingPermission(self.view_action)
        return live.answer(request, overview.stamp(), lambda: self._overview(request))

    def _overview(self, request: HttpRequest) -> HttpResponse:
        context = overview.for_request(request, self.admin_site.name)
        return TemplateResponse(request, "admin/django_director/_overview.html", context)

    def system(self, request: HttpRequest) -> HttpResponse:
        """Show whether all that runs need is alive."""
        if not self.has_view_permission(request):
            raise MissingPermission(self.view_action)
        return self.render(request, "system.html", system_page.context(request))

    def operate(self, request: HttpRequest, run_id: UUID, name: str) -> HttpResponseBase:
        """Show on GET what the operation would do, and do it on POST."""
        run = self._visible_run(request, run_id)
        operation = operations.OF_RUNS[name]
        for action in operation.asks_for:
            self.require(request, action, run)
        if operation.changes_payload:
            return self._relaunch_with_changes(request, run)
        back = returns.address(request, formatting.address("run_change", run.pk, site=self.admin_site.name))
        if request.method == "POST":
            after = confirm.perform(request, operation, run)
            # A new run is shown on its own page, wherever it was begun.
            return HttpResponseRedirect(back) if after.pk == run.pk else self._to_page(after)
        context = confirm.context(operation, run, Answers.of(request), self.admin_site.name, back)
        context["may_change_payload"] = "relaunch_with_changes" in self._permitted(request, run)
        return self.render(request, "confirm.html", context)

    def _relaunch_with_changes(self, request: HttpRequest, run: Run) -> HttpResponse:
        page = RelaunchForm(request, run)
        new = page.start() if request.method == "POST" else None
        if new is not None:
            return self._to_page(new)
        status = 400 if page.form and page.form.errors else 200
        return self.render(request, "relaunch.html", page.context(), status=status)

    def _to_page(self, run: Run) -> HttpResponse:
        return HttpResponseRedirect(formatting.address("run_change", run.pk, site=self.admin_site.name))

    def _visible_run(self, request: HttpRequest, run_id: UUID) -> Run:
        run = self.get_queryset(request).filter(pk=run_id).first()
        if run is None:
            raise Http404
        if not self.has_view_permission(request, run):
            raise MissingPermission(self.view_action)
        return run

    def _permitted(self, request: HttpRequest, run: Run) -> list[str]:
        return [
            operation.name
            for operation in operations.OF_RUNS.values()
            if all(self.allows(request, action, run) for action in operation.asks_for)
        ]
