"""Reads workflow files: definitions, and every problem of every file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from django_director.common.problems import Place, Problem
from django_director.definitions.checks.calls import check_calls
from django_director.definitions.fields.scopes import IN_STEP
from django_director.definitions.reader.workflow_reader import read_workflow
from django_director.definitions.source.compose import MAX_BYTES, is_private, load
from django_director.definitions.source.nodes import Entry, MappingNode, describe, is_null
from django_director.definitions.source.report import Report

from .definition import Definition
from .source import codes

BOM: Final = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the files say.

    ``definitions`` also holds what could be understood of workflows with problems, so that their tasks can be
    checked: store them only when ``problems`` is empty.
    """

    definitions: tuple[Definition, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Errors, in the order of the files and of their lines."""
    notes: tuple[Problem, ...] = ()
    """Remarks on what works and may not be what was meant."""
    files: tuple[str, ...] = ()
    """The paths that were read, as problems show them."""

    def adding(self, problems: Iterable[Problem]) -> Reading:
        """Return this reading with more problems and notes, each in its place."""
        # A name that YAML did not read as meant is no unknown task too.
        misread = {problem.place for problem in self.problems if problem.code == codes.AMBIGUOUS}
        new = [problem for problem in problems if problem.place not in misread]
        return replace(
            self,
            problems=_ordered(_causes([*self.problems, *_of_level("error", new)], new), self.files),
            notes=_ordered(_causes([*self.notes, *_of_level("note", new)], new), self.files),
        )


def read_files(paths: Sequence[Path]) -> Reading:
    """Read all files. What is in them never makes it raise: a file that is missing is a problem to report."""
    definitions: dict[str, Definition] = {}
    found: list[Problem] = []
    files = tuple(shown_path(path) for path in paths)
    reports = [Report(path=shown, known=IN_STEP) for shown in files]
    all_known = True
    for path, report in zip(paths, reports, strict=True):
        read_here = _read_file(path, report)
        all_known = all_known and read_here is not None
        for definition in read_here or ():
            first = definitions.setdefault(definition.name, definition)
            if first is not definition:
                found.append(_twice(definition, first))
    check_calls([call for report in reports for call in report.calls], definitions, all_known=all_known)
    found += [problem for report in reports for problem in report.problems]
    return Reading(
        definitions=tuple(definitions.values()),
        problems=_ordered(_of_level("error", found), files),
        notes=_ordered(_of_level("note", found), files),
        files=files,
    )


def shown_path(path: Path) -> str:
    """Return a path relative to the present folder, when it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def _of_level(level: str, problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.level == level]


def _causes(problems: Iterable[Problem], new: Iterable[Problem]) -> list[Problem]:
    """Return the problems without those that follow from a misspelt task, which is a problem of its own."""
    meant = {(problem.workflow, problem.about) for problem in new if problem.code == codes.UNKNOWN_TASK}
    followers = (codes.UNKNOWN_STEP, codes.UNUSED_QUEUE)
    return [p for p in problems if p.code not in followers or (p.workflow, p.about) not in meant]


def _ordered(problems: Iterable[Problem], files: Sequence[str]) -> tuple[Problem, ...]:
    order = {file: number for number, file in enumerate(files)}

    def key(problem: Problem) -> tuple[int, int, int]:
        place = problem.place
        return order.get(place.path, len(order)), place.line, place.column

    return tuple(sorted(problems, key=key))


def _twice(definition: Definition, first: Definition) -> Problem:
    return Problem(
        place=definition.place,
        code=codes.WORKFLOW_TWICE,
        message=f"the workflow “{definition.name}” stands twice, first at {first.place}",
        hint="keep one of them",
        workflow=definition.name,
    )


def _read_file(path: Path, report: Report) -> list[Definition] | None:
    """Return the definitions of a file; ``None`` when it can't even be read which workflows it has."""
    text = _read_text(path, report)
    if text is None:
        return None
    root = load(text, report)
    if root is None:
        return None if report.problems else []
    if is_null(root):
        return []
    if not isinstance(root, MappingNode):
        message = f"the file must be a mapping of workflows, and is {describe(root)}"
        report.error(codes.NOT_A_MAPPING, root, message, "write `project.NAME:` with `tasks:` under it")
        return None
    return _read_root(root, text, path.parent, report)


def _read_text(path: Path, report: Report) -> str | None:
    try:
        data = _read_bytes(path)
        return data.decode("utf-8").removeprefix(BOM)
    except OSError as error:
        hint = 'correct the path, or `DIRECTOR["WORKFLOWS"]`'
        report.error(codes.UNREADABLE, None, f"the file can't be read: {error.strerror}", hint)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        report.problems.append(
            Problem(
                place=Place(path=report.path, line=line),
                code=codes.NOT_UTF8,
                message=f"the file is not UTF-8: byte {error.object[error.start]:#04x}",
                hint="save it as UTF-8",
            )
        )
    except _TooLarge:
        message = f"the file has more than {MAX_BYTES:,} bytes"
        report.error(codes.TOO_LARGE, None, message, "split it into several files")
    return None


class _TooLarge(Exception):
    """The file is beyond the limit."""


def _read_bytes(path: Path) -> bytes:
    # Only regular files: a pipe would wait for ever.
    if path.exists() and not path.is_file():
        raise OSError(None, "it is not a regular file" if not path.is_dir() else "the folder can't be listed")
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _TooLarge
    return data


def _read_root(root: MappingNode, text: str, folder: Path, report: Report) -> list[Definition]:
    entries = sorted(root.entries.values(), key=lambda entry: entry.key.line)
    _name_workflows(entries, report)
    lines = text.splitlines()
    ends = [entry.key.line - 1 for entry in entries[1:]] + [len(lines)]
    read = [
        read_workflow(entry, _source(lines, entry.key.line, end), folder, report)
        for entry, end in zip(entries, ends, strict=False)
        if not is_private(entry.key.text)
    ]
    return [definition for definition in read if definition is not None]


def _name_workflows(entries: list[Entry], report: Report) -> None:
    """Say which workflow each problem of the YAML itself is in."""
    starts = [entry.key.line for entry in entries]
    for number, problem in enumerate(report.problems):
        index = bisect_right(starts, problem.place.line) - 1
        if problem.workflow is None and index >= 0 and not is_private(name := entries[index].key.text):
            report.problems[number] = replace(problem, workflow=name)


def _source(lines: list[str], start: int, end: int) -> str:
    """Return the lines of one workflow, without the blanks and comments that stand before the next."""
    while end > start and (not lines[end - 1].strip() or lines[end - 1].startswith(("#", "---", "..."))):
        end -= 1
    return "\n".join(lines[start - 1 : max(start, end)]) + "\n"
