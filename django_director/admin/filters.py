"""Filters that several lists have, and those that take a value which a person types."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar, Final, NamedTuple

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_director.common.times import aware, stored

WORKFLOWS_OFFERED: Final = 100
"""So many workflows a filter offers; the search finds those of others by a part of the name."""
LONGEST_NUMBER: Final = 18
PRESETS: Final = (0, 7, 30)
"""From the beginning of which day on, counted back from today, runs are offered."""


class Field(NamedTuple):
    """An input with which a person types the value of a filter."""

    label: str | Promise
    name: str
    kind: str
    value: str


class TypedFilter(admin.ListFilter):
    """A filter whose values a person may also type."""

    parameters: ClassVar[tuple[str, ...]]

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: type[Model], model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.values = {name: str(params.pop(name)[-1]) for name in self.parameters if name in params}

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def fields(self) -> list[Field]:
        """Return the inputs of the filter."""
        raise NotImplementedError

    def shown_value(self) -> str:
        """Return the chosen value as people read it, for one that is none of the choices."""
        return ", ".join(filter(None, self.values.values()))

    def choice(self, changelist: ChangeList, display: Any, chosen: dict[str, str]) -> dict[str, Any]:
        """Return a choice that sets the parameters ``chosen`` and no others of the filter."""
        return {
            "selected": {name: value for name, value in self.values.items() if value} == chosen,
            "query_string": changelist.get_query_string(chosen, [*self.parameters]),
            "display": display,
        }


class UserFilter(TypedFilter):
    """Filters runs by the name of the user who has started them."""

    title = _("user")
    parameters = ("user",)

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: type[Model], model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self._own = request.user.get_username()

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        yield self.choice(changelist, _("All"), {})
        yield self.choice(changelist, _("you"), {"user": self._own})

    def fields(self) -> list[Field]:
        return [Field(_("Name"), "user", "text", self.values.get("user", ""))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.values.get("user")
        return queryset.filter(user_name=name) if name else queryset


class CreatedFilter(TypedFilter):
    """Filters runs by when they were created: from a day or time on, and before one."""

    title = _("created")
    FROM: Final = "created_at__gte"
    BEFORE: Final = "created_at__lt"
    parameters = (FROM, BEFORE)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        yield self.choice(changelist, _("All"), {})
        today = timezone.localtime(datetime.now(UTC)).date()
        for days in PRESETS:
            text = ngettext("in the last %(n)s day", "in the last %(n)s days", days) % {"n": days}
            first = (today - timedelta(days=days)).isoformat()
            yield self.choice(changelist, text if days else _("today"), {self.FROM: first})

    def fields(self) -> list[Field]:
        labels = ((_("From"), self.FROM), (_("Before"), self.BEFORE))
        return [Field(label, name, "date", self.values.get(name, "")[:10]) for label, name in labels]

    def shown_value(self) -> str:
        texts = {self.FROM: _("from %(time)s"), self.BEFORE: _("before %(time)s")}
        given = {name: value[:16].replace("T", " ") for name, value in self.values.items() if value}
        return ", ".join(str(texts[name]) % {"time": value} for name, value in given.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for name, value in self.values.items():
            if not value:
                continue
            moment = _moment(value)
            # As with other filters: what nothing can match matches nothing.
            queryset = queryset.none() if moment is None else queryset.filter(**{name: moment})
        return queryset


class WorkflowFilter(admin.SimpleListFilter):
    """Filters by workflow, and offers only workflows that the user may see: a name may tell something too."""

    title = _("workflow")
    path: ClassVar[str]
    """The look-up that leads from a row of the list to its workflow."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        visible = model_admin.visible_workflows(request).order_by("name")
        found = list(visible.values_list("pk", "name")[:WORKFLOWS_OFFERED])
        chosen = _number(self.value())
        if chosen is not None and len(found) == WORKFLOWS_OFFERED and chosen not in dict(found):
            found += visible.filter(pk=chosen).values_list("pk", "name")
        return [(str(pk), name) for pk, name in found]

    @classmethod
    def chosen(cls, params: dict[str, str]) -> int | None:
        """Return the id of the workflow that the parameters of a list name."""
        return _number(params.get(str(cls.parameter_name)))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (value := self.value()):
            return queryset
        number = _number(value)
        return queryset.none() if number is None else queryset.filter(**{self.path: number})


class WorkflowOfRun(WorkflowFilter):
    parameter_name, path = "workflow__id__exact", "workflow"


class WorkflowOfTask(WorkflowFilter):
    parameter_name, path = "run__workflow__id__exact", "run__workflow"


def _number(value: str | None) -> int | None:
    is_number = value is not None and value.isdecimal() and len(value) <= LONGEST_NUMBER
    return int(value) if is_number and value is not None else None


def _moment(text: str) -> datetime | None:
    """Return the time that a text names, or the beginning of the day; ``None`` if it names none."""
    try:
        # A plus sign that stands as it is in an address means a space.
        found = parse_datetime(text.replace(" ", "+") if "T" in text else text)
        if found is None and (day := parse_date(text)) is not None:
            found = datetime.combine(day, time())
        return None if found is None else stored(aware(found))
    except (ValueError, OverflowError):
        return None
