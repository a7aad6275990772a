"""How many examples a property test takes.

Few, and the same each time: `make test` is to be quick, and to fail for a change and not by chance. With
``DIRECTOR_TEST_EXAMPLES=10`` ten times as many are drawn, and others each time unless ``--hypothesis-seed`` is
given.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings

FACTOR = float(os.environ.get("DIRECTOR_TEST_EXAMPLES") or 0)


def examples(number: int, **others: Any) -> settings:
    """The settings of a test that takes ``number`` examples; what was drawn earlier is not kept."""
    usual = {
        "derandomize": not FACTOR,
        "database": None,
        "deadline": None,
        "suppress_health_check": list(HealthCheck),
        "phases": [Phase.explicit, Phase.generate, Phase.shrink],
    }
    return settings(max_examples=max(1, int(number * (FACTOR or 1))), **usual | others)
