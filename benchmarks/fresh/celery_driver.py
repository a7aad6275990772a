"""Sends chains, chords and chunks of plain Celery in the project, as a view of it would, and waits for them.

``{"shape": NAME, "size": N, "runs": N}`` is answered by ``{"seconds": S}``, and ``{"wait": SECONDS}`` by ``{}``
when all results since the last wait are there.
"""

from __future__ import annotations

import time
from typing import Any

import django

django.setup()

from celery import chain, chord, group  # noqa: E402
from orders.tasks import item, noop  # type: ignore[import-not-found]  # noqa: E402

from benchmarks.drivers import serve  # noqa: E402

CHUNK = 50
SHAPES = {
    "chain": lambda length: chain(*(noop.si() for _ in range(length))),
    "fan": lambda width: chord(group(noop.si() for _ in range(width)), noop.si()),
    "map": lambda width: chord(group(item.si(number) for number in range(width)), noop.si()),
    "chunks": lambda width: chord(item.chunks([(i,) for i in range(width)], CHUNK).group(), noop.si()),
}
results: list[Any] = []


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    if "wait" in asked:
        for result in results:
            result.get(timeout=asked["wait"])
        results.clear()
        return {}
    begun = time.monotonic()
    shape = SHAPES[asked["shape"]]
    results.extend(shape(asked["size"]).apply_async() for _ in range(asked["runs"]))
    return {"seconds": time.monotonic() - begun}


serve(answer)
