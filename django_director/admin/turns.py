"""Says for what a pending run waits, in the language of the reader."""

from __future__ import annotations

from django.utils.translation import gettext as _

from django_director.db.functions import iso
from django_director.engine.concurrency.pending_reasons import Waiting


def describe(waiting: Waiting | None) -> str:
    """Return what ``str(waiting)`` says in English; empty for a run that is not pending."""
    if waiting is None:
        return ""
    words = {"run": waiting.behind, "time": iso(waiting.until)}
    if waiting.until is not None:
        text = _("wants a slot of its key from %(time)s") if waiting.keyed else _("wants a slot from %(time)s")
    elif waiting.behind:
        text = (
            _("waits for a slot of its key, behind run %(run)s")
            if waiting.keyed
            else _("waits for a slot, behind run %(run)s")
        )
    else:
        text = _("gets a slot of its key next") if waiting.keyed else _("gets a slot next")
    return text % words
