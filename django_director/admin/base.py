"""What the pages have in common: rows are looked at, never written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import cached_property

from django_director.authorization import is_allowed
from django_director.models import Workflow

M = TypeVar("M", bound=Model)

if TYPE_CHECKING:
    # Django's classes take parameters in the stubs only.
    BasePaginator = Paginator[Any]

    class BaseAdmin(admin.ModelAdmin[M]): ...
else:
    BasePaginator = Paginator

    class BaseAdmin(admin.ModelAdmin, Generic[M]): ...


class BoundedPaginator(BasePaginator):
    """Counts no more rows than anybody pages through: counting millions takes seconds."""

    limit = 10_000

    @cached_property
    def count(self) -> int:
        return int(self.object_list.order_by()[: self.limit].count())  # type: ignore[attr-defined]


class ReadOnlyAdmin(BaseAdmin[M]):
    """A list and a page of our own; no form writes a row."""

    view_action: ClassVar[str]
    """The action of ``authorization`` that opens the pages."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 200

    class Media:
        css: ClassVar = {"all": ["django_director/director.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return self.allows(request, self.view_action, obj)

    def allows(self, request: HttpRequest, action: str, obj: M | None = None) -> bool:
        """Whether the user may do this with the object's workflow (``None``: with any)."""
        return is_allowed(request.user, action, None if obj is None else self.workflow_of(obj))

    def workflow_of(self, obj: M) -> Workflow:
        """The workflow that decides about access to the object."""
        raise NotImplementedError

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        obj = self.get_object(request, unquote(object_id))
        if request.method not in ("GET", "HEAD") or (obj and not self.has_view_permission(request, obj)):
            raise PermissionDenied
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        return self.page(request, obj)

    def page(self, request: HttpRequest, obj: M) -> HttpResponse:
        """The page of one object the user may see."""
        raise NotImplementedError

    def render(
        self, request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
    ) -> TemplateResponse:
        """A page inside ``admin/base_site.html``."""
        request.current_app = self.admin_site.name
        common = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, f"admin/django_director/{template}", {**common, **context}, status=status)
