"""The signs of life of beat: its process writes one small row every few seconds, as workers do.

django-celery-beat itself writes only every three minutes what it has sent.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import Final

from celery import signals
from django.db import DatabaseError, InterfaceError

from django_director.common.throttle import Throttle
from django_director.db.functions import Now
from django_director.db.lock_limits import bounded
from django_director.db.transactions import disconnect, statement
from django_director.models import Lease

logger = logging.getLogger(__name__)

NAME: Final = "beat"
"""The name of the row of ``Lease`` in which beat writes its signs."""
PERIOD: Final = 5.0
"""Seconds between two signs."""
SILENCE: Final = 20.0
"""After so many seconds without a sign beat is taken for dead."""


def give_sign() -> None:
    """Write that the beat of this process is alive. Of two beats the last one stands in the row."""
    mine = {"holder": f"{socket.gethostname()}:{os.getpid()}", "until": Now(), "beat_at": Now()}
    own = Lease.objects.filter(name=NAME)
    if not statement(lambda: own.update(**mine)):
        statement(lambda: Lease.objects.bulk_create([Lease(name=NAME, **mine)], ignore_conflicts=True))


@signals.beat_init.connect(dispatch_uid="django_director.beat_signs")
def begin(**_: object) -> None:
    """Receive ``beat_init``: write signs of life in a thread until the process ends."""
    threading.Thread(target=_write_signs, name="director-beat-signs", daemon=True).start()


def _write_signs() -> None:
    warnings = Throttle()
    while True:
        try:
            with bounded():
                give_sign()
        except (DatabaseError, InterfaceError) as error:
            disconnect()
            if warnings.passes("beat"):
                logger.warning("Beat can't write that it is alive: %s", error, extra={"action": "beat"})
        time.sleep(PERIOD)
