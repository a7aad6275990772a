"""The form in which people write a schedule of a workflow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.forms.utils import ErrorDict
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_director.common.suggestions import did_you_mean
from django_director.definitions import Schedule
from django_director.definitions.reader import cron, intervals
from django_director.engine import check_start
from django_director.exceptions import DirectorError, InvalidPayload
from django_director.masking.values import mask, refuse_mask
from django_director.models import WorkflowVersion
from django_director.schedules import by_hand
from django_director.schedules.beat_rows import PREFIX
from django_director.schedules.timings import PeriodicRow

from . import formatting
from .payload_form import PayloadForm

TIMES: Final = 5
"""How many times the form shows at which the schedule would be due."""
KINDS: Final = (
    ("crontab", gettext_lazy("at fixed times (crontab)")),
    ("interval", gettext_lazy("at an interval")),
)


class ScheduleForm(forms.Form):
    """Reads a schedule. A form with ``row`` changes that one, which keeps its name.

    ``payload_form`` asks for the payload of each run. It is ``None`` for a user who may not see that of ``row``.
    """

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=by_hand.NAME_LENGTH,
        help_text=gettext_lazy("Shown in beat's log. It can't be changed later."),
    )
    kind = forms.ChoiceField(label=gettext_lazy("When"), choices=KINDS, initial="crontab")
    crontab = forms.CharField(
        label=gettext_lazy("Crontab"),
        required=False,
        help_text=gettext_lazy(
            "Minute, hour, day of month, month, day of week: “0 7 * * mon-fri” is at 7:00 from Monday to Friday."
        ),
    )
    timezone = forms.CharField(
        label=gettext_lazy("Time zone of the crontab"),
        required=False,
        help_text=gettext_lazy("A name such as Europe/Paris."),
    )
    interval = forms.CharField(
        label=gettext_lazy("Interval"),
        required=False,
        help_text=gettext_lazy("A number of seconds, or a duration such as 90s, 10m, 1h30m, 2d."),
    )

    def __init__(
        self,
        data: QueryDict | None,
        *,
        version: WorkflowVersion | None,
        row: PeriodicRow | None = None,
        sees_payload: bool = True,
    ) -> None:
        self.version = version
        self.schema = schema = None if version is None else version.graph.definition.schema
        self.row = row
        self.zones = sorted(available_timezones())
        super().__init__(data, initial=self._initial(), auto_id="director-%s")
        self.payload_form: PayloadForm | None = None
        if row is None:
            self.payload_form = PayloadForm(schema, data)
        else:
            del self.fields["name"]
            if sees_payload:
                old = by_hand.as_schedule(row).payload
                self.payload_form = PayloadForm(schema, data, given=mask(old, schema), real=old)
        self.fields["timezone"].widget.attrs["list"] = "director-zones"
        self.fields["timezone"].widget.attrs["autocomplete"] = "off"

    def _initial(self) -> dict[str, Any]:
        if self.row is None:
            return {"timezone": timezone.get_default_timezone_name()}
        old = by_hand.as_schedule(self.row)
        return {
            "kind": old.kind,
            old.kind: old.value,
            "timezone": old.timezone or timezone.get_default_timezone_name(),
        }

    def full_clean(self) -> None:
        """Check what was entered; nothing while the user adds a row to the payload, or takes one away."""
        if self.payload_form is not None and self.payload_form.is_changing_rows:
            self._errors = ErrorDict()
            self.cleaned_data = {}
        else:
            super().full_clean()

    def is_valid(self) -> bool:
        # The first may find something wrong in the payload too.
        return super().is_valid() and (self.payload_form is None or self.payload_form.is_valid())

    @property
    def has_errors(self) -> bool:
        """Whether something is wrong in the fields of the schedule or of the payload."""
        return bool(self.errors or (self.payload_form is not None and self.payload_form.errors))

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if not name.isprintable():
            raise ValidationError(_("A name has no control characters."))
        if name.startswith(PREFIX):
            text = _("Names that begin with “%(prefix)s” are those of the workflow files.")
            raise ValidationError(text % {"prefix": PREFIX})
        if not by_hand.is_free(name):
            raise ValidationError(_("A periodic task has this name already."))
        return name

    def clean_timezone(self) -> str:
        name = str(self.cleaned_data["timezone"]) or timezone.get_default_timezone_name()
        if name not in self.zones:
            hint = did_you_mean(name, self.zones) or ""
            text = _("There is no time zone “%(name)s”. %(hint)s")
            raise ValidationError((text % {"name": name, "hint": formatting.sentence(hint)}).strip())
        return name

    def clean(self) -> dict[str, Any]:
        found = dict(super().clean() or {})
        kind = found.get("kind")
        if kind == "crontab":
            self._clean_value(kind, lambda text: cron.normalise(text), _("Write when it is due."))
        elif kind == "interval":
            self._clean_value(kind, intervals.parse, _("Write after which time it is due again."))
        if self.payload_form is not None and self.payload_form.is_valid():
            self._check_payload(self.payload_form)
        return self.cleaned_data

    def _check_payload(self, form: PayloadForm) -> None:
        try:
            refuse_mask(form.payload, self.schema)
            if self.version is not None:
                check_start(self.version, form.payload)
        except InvalidPayload as error:
            form.show(error)
        except DirectorError as error:
            form.add_error(None, str(error))

    def _clean_value(self, kind: str, read: Any, missing: str) -> None:
        text = str(self.cleaned_data.get(kind) or "").strip()
        if not text:
            self.add_error(kind, missing)
            return
        try:
            self.cleaned_data["value"] = read(text)
        except cron.CrontabError as error:
            self.add_error(kind, f"{formatting.sentence(str(error))}.")
        except intervals.IntervalError:
            self.add_error(kind, _("Write a duration above 0, such as 90s, 10m, 1h30m or 2d."))

    @property
    def schedule(self) -> Schedule:
        """Return the schedule that a valid form holds."""
        found, old = self.cleaned_data, None if self.row is None else by_hand.as_schedule(self.row)
        kept: Any = {} if old is None else old.payload
        return Schedule(
            kind=found["kind"],
            value=found["value"],
            timezone=found["timezone"] if found["kind"] == "crontab" else None,
            enabled=True if old is None else old.enabled,
            payload=kept if self.payload_form is None else self.payload_form.payload,
        )

    @property
    def timing(self) -> str:
        """Return what a valid form says of the time: after a preview of something else it is shown again."""
        schedule = self.schedule
        return f"{schedule.kind} {schedule.value} {schedule.timezone or ''}".strip()

    @property
    def zone(self) -> str:
        """Return the time zone in which a valid form shows times: that of its crontab, else that of the site."""
        return self.schedule.timezone or formatting.zone()

    def next_times(self) -> list[tuple[str, str, str]]:
        """Return the next times of a valid form: in its zone, in UTC, and how far they are from now."""
        now, zone = datetime.now(UTC), self.schedule.timezone
        return [
            (
                *formatting.in_zones(due, zone),
                _("in %(time)s") % {"time": formatting.seconds((due - now).total_seconds())},
            )
            for due in by_hand.next_times(self.schedule, TIMES)
        ]
