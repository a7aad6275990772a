"""What the language has and the engine can't do yet.

Each report of ``NOT_YET`` (D106) comes from this set: taking a word out of it turns the feature on. A word is
where something stands and its key; the reader itself knows the whole language.
"""

from __future__ import annotations

from typing import Final

NOT_YET: Final[frozenset[str]] = frozenset()
