"""Says in the language of the reader why a task is in its status.

The engine stores such reasons in English, for programs and logs read them too. What people have written behind a
colon, and reasons that are not known here, stay as they are.
"""

from __future__ import annotations

import re
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from django_director.status import TaskStatus

from . import formatting

_DONE: Final = {
    "approved": gettext_noop("approved by %(who)s"),
    "rejected": gettext_noop("rejected by %(who)s"),
    TaskStatus.SKIPPED.value: gettext_noop("skipped by %(who)s"),
    TaskStatus.CANCELED.value: gettext_noop("canceled by %(who)s"),
}
_WHOLE: Final = (
    gettext_noop("waits for approval"),
    gettext_noop("approved"),
    gettext_noop("rejected"),
    gettext_noop("the run's time was up"),
    gettext_noop("the time of the step that started the run was up"),
    gettext_noop("the run was skipped"),
    gettext_noop("another step has failed"),
    gettext_noop("its worker was told to kill it"),
    gettext_noop("its code runs on"),
)
_BY: Final = re.compile(rf"({'|'.join(_DONE)}) by (.+)", re.IGNORECASE)
_UNDECIDED: Final = re.compile(r"nobody has decided within (\S+) s")
_PARTS: Final = re.compile(r"(: |; )")


def translate(text: str) -> str:
    """Return a reason of the engine in the language of the reader, and any other text as it is."""
    first, *rest = _PARTS.split(text, maxsplit=1)
    told = _translate_part(first)
    if told is None:
        return text
    if rest:
        told += rest[0] + (_translate_part(rest[1]) or rest[1])
    return told[:1].upper() + told[1:] if first[:1].isupper() else told


def _translate_part(text: str) -> str | None:
    """Return the translation; ``None`` for what the engine does not say."""
    if found := _BY.fullmatch(text):
        return _(_DONE[found[1].lower()]) % {"who": found[2]}
    if found := _UNDECIDED.fullmatch(text):
        return _("nobody has decided within %(seconds)s s") % {"seconds": found[1]}
    plain = text[:1].lower() + text[1:]
    if plain in (TaskStatus.SKIPPED, TaskStatus.CANCELED):
        return formatting.status_label(plain)
    return _(plain) if plain in _WHOLE else None
