"""The payload of a relaunch, as it comes back from a person or a program that was shown the old one."""

from __future__ import annotations

from django_director import engine
from django_director.access.authorization import require
from django_director.common.json_values import same
from django_director.masking.values import refuse_mask, restore
from django_director.models import Run
from django_director.models.users import User


def changed_payload(run: Run, payload: object, version: str, *, user: User, sees_payload: bool = True) -> object:
    """Return what a relaunch of ``run`` is to get as its payload; ``None`` for the payload of ``run``.

    ``version`` is ``current`` or ``same``. Each ``********``, which people are shown in place of a secret, is
    replaced by the secret of ``run``. A user who may only repeat runs could otherwise start one with any payload:
    with another one ``NotAllowed`` is raised, unless ``user`` may start the workflow or is ``None``, the operator
    of a command. Raises ``InvalidPayload`` where ``********`` stands for nothing.

    A user without ``sees_payload`` must learn nothing of the old payload: neither by which payload counts as the
    old one, nor by giving its hidden values to a run with another payload.
    """
    if payload is None:
        return None
    if not sees_payload:
        _require(user, run)
        refuse_mask(payload, run.version.graph.definition.schema)
        return payload
    chosen = engine.relaunch_version(run, version)
    if same(restore(payload, run.payload, engine.shown_payload(run, chosen)), run.payload):
        return None
    _require(user, run)
    return engine.with_hidden(run, payload, chosen)


def _require(user: User, run: Run) -> None:
    if user is not None:
        require(user, "run", run.workflow)
