"""Lists and pages of objects that change by themselves."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar, Final
from uuid import UUID

from django.apps import apps
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ALL_VAR, PAGE_VAR
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from django_director.models import Run

from . import live
from .base import M, MissingPermission, ReadOnlyAdmin, SafeList

NEW_COUNTED: Final = 100
"""Of more new rows than this the list says only that there are so many."""


NEWEST_FIRST: Final = ("-pk", "-created_at", "-run_id")
"""The orders in which new rows come before those that a list shows."""


class LiveAdmin(ReadOnlyAdmin[M]):
    """Shows rows that change while people look at them: a script asks the two addresses for what has changed."""

    is_live: ClassVar = True
    keeps_rows: ClassVar = True
    """Whether an update leaves the rows of the list where they are: new ones are only counted."""
    list_poll: ClassVar = 5
    """Seconds between two live updates of the list, at least."""
    newest_first: ClassVar[str]
    """The column whose value is higher for newer rows: by it the list is sorted."""

    def stamp(self, request: HttpRequest, obj: M) -> object:
        """Return a value that changes whenever something on the page of ``obj`` does."""
        raise NotImplementedError

    @staticmethod
    def stamp_of_rows(ids: Collection[UUID]) -> object:
        """Return a value that changes whenever something in one of these rows of the list does."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        name = f"django_director_{self.opts.model_name}"
        return [
            path("live/", self.guard(require_safe(self.live_list)), name=f"{name}_list_live"),
            path("<uuid:pk>/live/", self.guard(require_safe(self.live)), name=f"{name}_live"),
            *super().get_urls(),
        ]

    def live(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """Answer with what can change on the page of an object, or with 304 if the script has it already."""
        obj: Any = self.get_queryset(request).filter(pk=pk).first()
        if obj is None:
            raise Http404
        if not self.has_view_permission(request, obj):
            raise MissingPermission(self.view_action)
        return live.answer(request, self.stamp(request, obj), lambda: self.page(request, obj))

    def live_list(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with the rows for which a script asks, and with how many new ones there are; or with 304."""
        if not self.has_view_permission(request):
            raise MissingPermission(self.view_action)
        ids, newest = live.asked_rows(request), list(Run.objects.order_by("-pk").values_list("pk", flat=True)[:1])
        return answer_list(request, (self.stamp_of_rows(ids), newest), lambda: self._rows(request, ids))

    def _rows(self, request: HttpRequest, ids: list[UUID]) -> HttpResponse:
        filters = request.GET.copy()
        is_first_page = filters.get(PAGE_VAR, "1") == "1"
        for name in ("rows", PAGE_VAR, ALL_VAR):
            filters.pop(name, None)
        request.GET = filters  # type: ignore[assignment]
        request.director_rows = ids  # type: ignore[attr-defined]
        cl: Any = self.get_changelist_instance(request)
        return draw_list(request, cl, self._count_new(cl) if is_first_page else 0)

    def _count_new(self, cl: Any) -> int:
        """Return how many rows fit the filters and are newer than those shown; 0 if the newest are not first."""
        if cl.matching.query.order_by[0] not in NEWEST_FIRST:
            return 0
        shown = [getattr(row, self.newest_first) for row in cl.result_list]
        newer = {f"{self.newest_first}__gt": max(shown)} if shown else {}
        return int(cl.matching.filter(**newer).order_by()[: NEW_COUNTED + 1].count())


def answer_list(request: HttpRequest, stamp: object, make: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Answer as `live.answer`, or with 400 to filters that can't be used."""
    try:
        return live.answer(request, stamp, make)
    except IncorrectLookupParameters:
        return HttpResponseBadRequest(_("The address has a filter that can't be used."))


def draw_list(request: HttpRequest, cl: Any, new: int = 0) -> HttpResponse:
    """Return the part of a list's page that can change; ``new`` rows fit its filters that it does not show."""
    cl.formset = None
    context = {"cl": cl, "opts": cl.opts, "new": new, "is_cut": new > NEW_COUNTED, "limit": NEW_COUNTED}
    context["list_template"] = f"admin/django_director/{_list_template()}.html"
    return TemplateResponse(request, "admin/django_director/_rows.html", context)


def _list_template() -> str:
    """Return the template that draws a list as its page does: one theme has a tag of its own for that."""
    return "_list_unfold" if apps.is_installed("unfold") else "_list"


class LiveList(SafeList):
    """A list of rows that change by themselves."""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the rows that fit the filters; for a live update only those that the page shows, fitting or not.

        A row that has changed stays at its place, even if it does not fit the filters any more: nothing moves
        under the eyes of the reader.
        """
        self.matching = self.bounded(super().get_queryset(request, *args, **kwargs))
        rows = getattr(request, "director_rows", None)
        return self.matching if rows is None else self.root_queryset.filter(pk__in=rows).order_by("-pk")

    def bounded(self, matching: QuerySet[Any]) -> QuerySet[Any]:
        """Return those of the rows that fit the filters among which a list with these filters looks at all."""
        return matching
