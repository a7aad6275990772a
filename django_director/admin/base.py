"""What all admin pages of this app share: they show rows, and no form writes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Final, Generic, ParamSpec, TypeAlias, TypeVar

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from django_director.access.answers import Answers
from django_director.access.authorization import authorize_function, is_allowed, missing_for
from django_director.conf import director
from django_director.exceptions import InvalidSettings
from django_director.masking.values import secret_keys
from django_director.models import Workflow

from . import history_lines, live
from .filters import TypedFilter

STYLES: Final = ("director", "steps", "phones", "themes")
"""The style sheets of every page; what comes later wins."""
VIA: Final = "admin"
"""How a change was made, in the words of Django's history of an object."""
M = TypeVar("M", bound=Model)
P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)
Filters: TypeAlias = tuple[list[admin.ListFilter], bool, dict[str, bool | str], bool, bool]
"""What Django's ``ChangeList.get_filters`` returns."""

if TYPE_CHECKING:
    # Django's classes take parameters in the stubs only.
    BasePaginator = Paginator[Any]

    class BaseAdmin(admin.ModelAdmin[M]): ...
else:
    BasePaginator = Paginator

    class BaseAdmin(admin.ModelAdmin, Generic[M]): ...


class MoreThan(int):
    """A number at which counting has ended: the templates of Django's admin print it as “more than 10000”."""

    def __str__(self) -> str:
        # With USE_THOUSAND_SEPARATOR Django puts separators into this text, as into any number, and breaks words.
        number = int.__repr__(self)
        return number if settings.USE_THOUSAND_SEPARATOR else _("more than %(number)s") % {"number": number}


class BoundedPaginator(BasePaginator):
    """Counts at most ``limit`` rows: nobody pages through more, and to count millions takes seconds."""

    limit = 10_000

    @cached_property
    def count(self) -> int:
        found = int(self.object_list.order_by()[: self.limit + 1].count())  # type: ignore[attr-defined]
        return MoreThan(self.limit) if found > self.limit else found


class SafeList(ChangeList):
    """A list of rows. If its address holds a value that the database refuses, it answers as to a wrong filter."""

    note = ""
    """What a person has to know of the rows that are shown."""

    def get_filters(self, request: HttpRequest) -> Filters:
        found = super().get_filters(request)
        # PostgreSQL refuses NUL only when the query runs, where Django expects no failure.
        if any("\0" in text for values in request.GET.lists() for text in values[1]):
            raise IncorrectLookupParameters
        return found


class MissingPermission(PermissionDenied):
    """Raised if a user may not do ``action`` with ``workflow``, or with any workflow if that is ``None``."""

    def __init__(self, action: str, workflow: Workflow | None = None) -> None:
        self.action = action
        self.workflow = workflow
        super().__init__(action)


class ReadOnlyAdmin(BaseAdmin[M]):
    """Shows the rows of a model in a list, and each on a page of its own; no form writes a row."""

    view_action: ClassVar[str]
    """The action that ``authorization`` must allow before a user sees the pages."""

    change_list_template = "admin/django_director/change_list.html"
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 200

    class Media:
        css: ClassVar = {"all": [f"django_director/{name}.css" for name in STYLES]}

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
            # Django's admin asks this on all its pages. The pages of this app explain what is wrong.
            return False

    def allows(self, request: HttpRequest, action: str, obj: M | None = None) -> bool:
        """Whether the user may do ``action`` with the workflow of ``obj``, or with any workflow at all."""
        return is_allowed(request.user, action, None if obj is None else self.workflow_of(obj))

    def require(self, request: HttpRequest, action: str, obj: M) -> None:
        """Raise ``MissingPermission`` if the user may not see ``obj``, or may not do ``action`` with its workflow.

        Seeing is checked first: a user who may not see an object must not learn which actions there are.
        """
        for needed in (self.view_action, action):
            if not self.allows(request, needed, obj):
                raise MissingPermission(needed, self.workflow_of(obj))

    def guard(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        """Return a view of the admin that explains on a page why a user may not do something."""
        return self.admin_site.admin_view(
            lambda request, *args, **kwargs: self._answer_or_explain(view, request, *args, **kwargs)
        )

    def _answer_or_explain(
        self,
        view: Callable[Concatenate[HttpRequest, P], R],
        request: HttpRequest,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R | TemplateResponse:
        """Answer with a view, or with a page that names the missing permission or the wrong setting."""
        try:
            # Templates read these settings too, but then it is too late to answer with a page that explains.
            authorize_function()
            secret_keys()
            return view(request, *args, **kwargs)
        except InvalidSettings as error:
            context = {"title": _("Settings that can't be used"), "error": error}
            return self.render(request, "unusable.html", context, status=503)
        except MissingPermission as missing:
            needed = "" if director.AUTHORIZE else missing_for(request.user, missing.action, missing.workflow)
            context = {"title": _("Not allowed"), "needed": needed}
            return self.render(request, "forbidden.html", context, status=403)

    def visible_workflows(self, request: HttpRequest) -> QuerySet[Workflow]:
        """Return the workflows whose rows the user may see."""
        return Workflow.objects.filter(Answers.of(request).where(self.view_action, "pk"))

    @admin.display(description=mark_safe('<input type="checkbox" id="action-toggle">'))
    def action_checkbox(self, obj: M) -> SafeString:
        """Return the box with which a user selects a row; Django renders a template for each."""
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="{}">',
            ACTION_CHECKBOX_NAME,
            obj.pk,
            _("Select %(name)s") % {"name": self.name_of(obj)},
        )

    def name_of(self, obj: M) -> str:
        """Return what a screen reader calls a row."""
        return str(obj)

    def get_changelist(self, request: HttpRequest, **kwargs: object) -> type[ChangeList]:
        return SafeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Whether a query string may filter the list by ``lookup``: only the filters of ``list_filter`` may do so.

        Django would allow each look-up of each column. The number of rows that begin with a guess would tell
        whether the guess is right, so that a user could find out every payload letter by letter.
        """
        return request is not None and lookup in self.declared_filters(request)

    def declared_filters(self, request: HttpRequest) -> frozenset[str]:
        """Return the parameters of the filters in ``list_filter``."""
        return frozenset(
            name for entry in self.get_list_filter(request) for name in self._parameters_of(entry, request)
        )

    def _parameters_of(self, entry: Any, request: HttpRequest) -> Iterable[str]:
        if isinstance(entry, type) and issubclass(entry, TypedFilter):
            return entry.parameters
        if isinstance(entry, type) and issubclass(entry, admin.SimpleListFilter):
            return [str(entry.parameter_name)]
        path, make = entry if isinstance(entry, tuple | list) else (entry, admin.FieldListFilter.create)
        field = get_fields_from_path(self.model, path)[-1]
        made = make(field, request, {}, self.model, self, field_path=path)
        return [str(name) for name in made.expected_parameters()]

    def workflow_of(self, obj: M) -> Workflow:
        """Return the workflow that decides who may see and steer the object."""
        raise NotImplementedError

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return self._answer_or_explain(self._list, request, extra_context)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return self._answer_or_explain(self._history, request, object_id, extra_context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return self._answer_or_explain(self._page, request, object_id)

    def _list(self, request: HttpRequest, extra_context: dict[str, Any] | None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise MissingPermission(self.view_action)
        title = str(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title[:1].upper() + title[1:], **(extra_context or {})})

    def _history(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None) -> HttpResponse:
        try:
            response = super().history_view(request, object_id, extra_context)
        except PermissionDenied as error:
            raise MissingPermission(self.view_action) from error
        lines = getattr(response, "context_data", {}).get("action_list", ())
        for line in lines:
            line.change_message = history_lines.translate(line.get_change_message())
        return response

    def _page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        if not self.has_view_permission(request, obj):
            raise MissingPermission(self.view_action)
        return self.page(request, obj)

    def page(self, request: HttpRequest, obj: M) -> HttpResponse:
        """Return the page of an object that the user may see."""
        raise NotImplementedError

    def render(
        self, request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
    ) -> TemplateResponse:
        """Return a page inside ``admin/base_site.html``; for a live update only the part that can change."""
        request.current_app = self.admin_site.name
        site = {"page_base": live.BARE} if live.is_asked(request) else self.admin_site.each_context(request)
        common = {**site, "opts": self.opts, "media": self.media}
        return TemplateResponse(request, f"admin/django_director/{template}", {**common, **context}, status=status)
