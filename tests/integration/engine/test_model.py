"""Any order of deliveries, duplicates, losses, crashes, cancels and retries leads to an outcome."""

from __future__ import annotations

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.examples import examples

from .machine import Engine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("modeled"), pytest.mark.thorough]


@pytest.mark.fault(19)
@pytest.mark.timeout(600)
def test_any_order_of_events_leads_to_an_outcome():
    run_state_machine_as_test(Engine, settings=examples(12, stateful_step_count=40, print_blob=False))
