"""What the pages have in common: rows are looked at, never written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Final, Generic, ParamSpec, TypeAlias, TypeVar

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from django_director.access.authorization import deciding, is_allowed, missing_for, visible
from django_director.conf import director
from django_director.exceptions import InvalidSettings
from django_director.masking.values import secret_keys
from django_director.models import Workflow

VIA: Final = "admin"
"""What Django's history of an object says of the way."""
M = TypeVar("M", bound=Model)
P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)
Filters: TypeAlias = tuple[list[admin.ListFilter], bool, dict[str, bool | str], bool, bool]
"""What Django's ``ChangeList.get_filters`` returns."""

if TYPE_CHECKING:
    from django.db.models.fields.related import RelatedField

    # Django's classes take parameters in the stubs only.
    BasePaginator = Paginator[Any]

    class BaseAdmin(admin.ModelAdmin[M]): ...
else:
    BasePaginator = Paginator

    class BaseAdmin(admin.ModelAdmin, Generic[M]): ...


class MoreThan(int):
    """A number that counting ended at, which the admin's own templates write as what it is."""

    def __str__(self) -> str:
        # With separators Django writes the digits of a number itself, and would tear words apart.
        number = int.__repr__(self)
        return number if settings.USE_THOUSAND_SEPARATOR else _("more than %(number)s") % {"number": number}


class BoundedPaginator(BasePaginator):
    """Counts no more rows than anybody pages through: counting millions takes seconds."""

    limit = 10_000

    @cached_property
    def count(self) -> int:
        found = int(self.object_list.order_by()[: self.limit + 1].count())  # type: ignore[attr-defined]
        return MoreThan(self.limit) if found > self.limit else found


class SafeList(ChangeList):
    """A list whose address may hold anything: what the database would refuse is sent back as Django does it."""

    def get_filters(self, request: HttpRequest) -> Filters:
        found = super().get_filters(request)
        # PostgreSQL refuses NUL only when the query runs, where Django expects no failure.
        if any("\0" in text for values in request.GET.lists() for text in values[1]):
            raise IncorrectLookupParameters
        return found


class VisibleWorkflowFilter(admin.RelatedFieldListFilter):
    """By workflow, of those that the user may see in the list: a name may tell something too."""

    def field_choices(self, field: RelatedField[Any, Any], request: HttpRequest, model_admin: Any) -> Any:
        ordering = self.field_admin_ordering(field, request, model_admin)
        return field.get_choices(
            include_blank=False, ordering=ordering, limit_choices_to=model_admin.visible_workflows(request)
        )


class Missing(PermissionDenied):
    """The user may not do ``action`` with ``workflow`` (``None``: with any)."""

    def __init__(self, action: str, workflow: Workflow | None = None) -> None:
        self.action = action
        self.workflow = workflow
        super().__init__(action)


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
        try:
            return self.allows(request, self.view_action, obj)
        except InvalidSettings:
            # The admin asks on every page; ours say what is wrong.
            return False

    def allows(self, request: HttpRequest, action: str, obj: M | None = None) -> bool:
        """Whether the user may do this with the object's workflow (``None``: with any)."""
        return is_allowed(request.user, action, None if obj is None else self.workflow_of(obj))

    def demand(self, request: HttpRequest, action: str, obj: M) -> None:
        """Raise ``Missing`` unless the user may look at the object and do this with its workflow.

        Who may not look is not told what else there is to know.
        """
        for needed in (self.view_action, action):
            if not self.allows(request, needed, obj):
                raise Missing(needed, self.workflow_of(obj))

    def guarded(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        """A view of the admin that says on a page what is missing."""
        return self.admin_site.admin_view(
            lambda request, *args, **kwargs: self._told(view, request, *args, **kwargs)
        )

    def _told(
        self,
        view: Callable[Concatenate[HttpRequest, P], R],
        request: HttpRequest,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R | TemplateResponse:
        try:
            # Templates mask too, when it is too late for a page that says so.
            deciding()
            secret_keys()
            return view(request, *args, **kwargs)
        except InvalidSettings as error:
            context = {"title": _("Settings that can't be used"), "error": error}
            return self.render(request, "unusable.html", context, status=503)
        except Missing as missing:
            needed = "" if director.AUTHORIZE else missing_for(request.user, missing.action, missing.workflow)
            context = {"title": _("Not allowed"), "needed": needed}
            return self.render(request, "forbidden.html", context, status=403)

    def visible_workflows(self, request: HttpRequest) -> dict[str, Any]:
        """What to filter workflows by, so that only those are left whose rows the user may see; a query more
        only where the project decides itself."""
        if not director.AUTHORIZE:
            return {}
        allowed = visible(request.user, self.view_action, Workflow.objects.all())
        return {"pk__in": list(allowed.values_list("pk", flat=True))}

    def get_changelist(self, request: HttpRequest, **kwargs: object) -> type[ChangeList]:
        return SafeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Whether a query string may filter the list: only by ``list_filter``.

        Django lets it use any look-up of any column. One that starts with a guess tells by its number of rows
        whether the guess is right, so that every payload could be read letter by letter.
        """
        return request is not None and lookup in self.declared_filters(request)

    def declared_filters(self, request: HttpRequest) -> frozenset[str]:
        """The parameters of the filters of ``list_filter``."""
        return frozenset(
            name for entry in self.get_list_filter(request) for name in self._parameters(entry, request)
        )

    def _parameters(self, entry: Any, request: HttpRequest) -> Iterable[str]:
        if isinstance(entry, type) and issubclass(entry, admin.SimpleListFilter):
            return [str(entry.parameter_name)]
        path, make = entry if isinstance(entry, tuple | list) else (entry, admin.FieldListFilter.create)
        field = get_fields_from_path(self.model, path)[-1]
        made = make(field, request, {}, self.model, self, field_path=path)
        return [str(name) for name in made.expected_parameters()]

    def workflow_of(self, obj: M) -> Workflow:
        """The workflow that decides about access to the object."""
        raise NotImplementedError

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return self._told(self._list, request, extra_context)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return self._told(self._history, request, object_id, extra_context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return self._told(self._page, request, object_id)

    def _list(self, request: HttpRequest, extra_context: dict[str, Any] | None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise Missing(self.view_action)
        return super().changelist_view(request, extra_context)

    def _history(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None) -> HttpResponse:
        try:
            return super().history_view(request, object_id, extra_context)
        except PermissionDenied as error:
            raise Missing(self.view_action) from error

    def _page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        if not self.has_view_permission(request, obj):
            raise Missing(self.view_action)
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
