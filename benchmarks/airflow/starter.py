"""Starts runs of Airflow's DAGs and waits for them, in its own environment.

``{"start": DAG, "runs": N}`` is answered by ``{"seconds": S}``, and ``{"wait": SECONDS}`` by
``{"unfinished": N}``: how many of the runs started since the last wait have no outcome by then.
``{"known": SECONDS}`` waits until Airflow has read the DAGs, and is answered by ``{"missing": NAMES}``.
"""

# What it imports is not in this project's environment.
# mypy: ignore-errors

from __future__ import annotations

import time
import uuid

from airflow.api.common.trigger_dag import trigger_dag
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import func, select

from benchmarks.airflow.sizes import CHAINS, FANS, MAPS
from benchmarks.drivers import serve

POLL = 0.02
NAMES = {f"{shape}_{n}" for shape, sizes in (("chain", CHAINS), ("fan", FANS), ("map", MAPS)) for n in sizes}
started: list[str] = []


def answer(asked):
    if "known" in asked:
        return {"missing": missing(asked["known"])}
    if "wait" in asked:
        return {"unfinished": unfinished(asked["wait"])}
    begun = time.monotonic()
    for _ in range(asked["runs"]):
        run_id = uuid.uuid4().hex
        trigger_dag(dag_id=asked["start"], triggered_by=DagRunTriggeredByType.TEST, run_id=run_id)
        started.append(run_id)
    return {"seconds": time.monotonic() - begun}


def missing(seconds: float) -> list[str]:
    """Unpause all DAGs; those that are not known by then."""
    deadline = time.monotonic() + seconds
    while (left := NAMES - known()) and time.monotonic() < deadline:
        time.sleep(0.5)
    with create_session() as session:
        session.query(DagModel).update({DagModel.is_paused: False})
    return sorted(left)


def known() -> set[str]:
    with create_session() as session:
        return set(session.scalars(select(SerializedDagModel.dag_id)))


def unfinished(seconds: float) -> int:
    """Wait for outcomes; how many are missing or are failures."""
    deadline = time.monotonic() + seconds
    while (left := count(("queued", "running"))) and time.monotonic() < deadline:
        time.sleep(POLL)
    if failed := count(("failed",)):
        raise RuntimeError(f"{failed} runs of Airflow have failed")
    started.clear()
    return left


def count(states: tuple[str, ...]) -> int:
    with create_session() as session:
        asked = select(func.count()).where(DagRun.run_id.in_(started), DagRun.state.in_(states))
        return session.scalar(asked)


serve(answer)
