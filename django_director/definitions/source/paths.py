"""Finds the workflow files of a project."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

FILE_NAME: Final = "workflows.yml"
SUFFIXES: Final = (".yml", ".yaml")


def workflow_files(
    configured: Sequence[str | Path] | str | Path | None, base_dir: Path | None, app_paths: Sequence[Path]
) -> list[Path]:
    """Return the files to read: configured ones (or that of ``base_dir``), then those of apps; each file once.

    A configured file that is missing, or a folder that can't be listed, stays in the list: reading it reports it.
    """
    if configured is None:
        found = _if_there(base_dir)
    else:
        paths = [configured] if isinstance(configured, str | Path) else configured
        found = (file for path in paths for file in _expand((base_dir or Path()) / path))
    return list(_unique([*found, *(file for app in app_paths for file in _if_there(app))]))


def _if_there(folder: Path | None) -> Iterator[Path]:
    # A link that leads nowhere is there: reading reports it.
    if folder is not None and os.path.lexists(folder / FILE_NAME):
        yield folder / FILE_NAME


def _expand(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        return sorted(child for child in path.iterdir() if child.suffix in SUFFIXES)
    except OSError:
        return [path]


def _unique(paths: Iterable[Path]) -> Iterator[Path]:
    seen = set()
    for path in paths:
        real = os.path.realpath(path)
        if real not in seen:
            seen.add(real)
            yield path
