"""What a worker says of the supervisor, where that is a process of its own."""

from __future__ import annotations

import pytest

from django_director.db.functions import Now, later
from django_director.engine.supervisor.leadership import LEASE_NAME
from django_director.models import Lease
from django_director.worker.heartbeat import Heartbeat

pytestmark = pytest.mark.django_db


def test_a_missing_supervisor_is_warned_of_once_until_one_has_worked(caplog):
    heartbeat = Heartbeat(1, "w1@host")
    lease = Lease.objects.filter(name=LEASE_NAME)

    def warnings() -> int:
        heartbeat._check_supervisor()
        return caplog.text.count("No supervisor has worked for 90 s")

    assert [warnings(), warnings()] == [1, 1]
    Lease.objects.create(name=LEASE_NAME, holder="s1", until=Now(), beat_at=Now())
    assert warnings() == 1
    # It has ended for a new one, as in a deployment.
    lease.update(holder="", until=Now())
    assert warnings() == 1
    lease.update(beat_at=later(-91))
    assert [warnings(), warnings()] == [2, 2]
