"""The engine's reasons in the language of the reader."""

import pytest
from django.utils.translation import override

from django_director.admin import reasons
from django_director.engine import stopping
from django_director.engine.steps import approvals

SAID = [
    *stopping.REASONS.values(),
    approvals.ASKED,
    "canceled by ann" + stopping.TOLD,
    "canceled" + stopping.RUNS_ON,
]
SAID += ["approved by ann", "Rejected by ann", "rejected: nobody has decided within 60 s", "skipped"]
OTHERS = ["", "ValueError: canceled by ann", "CONSUMER does not know this task", "approved of"]


@pytest.mark.parametrize("text", SAID)
def test_what_the_engine_says_is_translated_and_nothing_lost(text):
    with override("en"):
        assert reasons.translate(text) == text
    with override("ru"):
        told = reasons.translate(text)
    assert not set("abcdefghijklmnopqrstuvwxyz") & set(told.lower().replace("ann", ""))
    assert ("ann" in told, "60" in told) == ("ann" in text, "60" in text)
    assert told[:1].isupper() == text[:1].isupper()


@pytest.mark.parametrize("text", OTHERS)
def test_other_texts_stay_as_they_are(text):
    with override("ru"):
        assert reasons.translate(text) == text


def test_what_people_write_stays_as_it_is():
    with override("ru"):
        assert reasons.translate("rejected by ann: canceled too late; sorry").endswith(
            ": canceled too late; sorry"
        )
