"""The base classes of the commands, and the arguments that several commands have."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, _ActionsContainer
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import (
    DatabaseError,
    DataError,
    InterfaceError,
    OperationalError,
)
from django.utils.connection import ConnectionDoesNotExist

from django_director.common.json_values import JsonValue, parse
from django_director.db.errors import is_of_data, is_unmigrated
from django_director.exceptions import DirectorError, UnknownWorkflow
from django_director.models import Run, Task, Workflow
from django_director.models.users import User
from django_director.presentation.actions import Action
from django_director.presentation.server_problems import migrate_command
from django_director.sync.project import place_in_files

from .output import Printer

VIA: Final = "command"
"""The text in Django's history of an object that says how it was changed: by a command."""
FAILED: Final = 1
TIMED_OUT: Final = 3
INTERRUPTED: Final = 130

Options: TypeAlias = Mapping[str, Any]
"""The arguments and options of a command by their names, as argparse has read them."""


class DirectorCommand(BaseCommand):
    """A command that reports each expected failure as a message and an exit code, and never as a traceback.

    A command prints data with ``self.out``, and all other messages with ``self.inform``. It runs no system checks:
    people must be able to see and cancel runs even if a file has a mistake.
    """

    requires_system_checks: list[str] = []
    out: Printer

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: object) -> CommandParser:
        """Return a parser that accepts options between arguments, as in ``runworkflow NAME --wait PAYLOAD``."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
        return parser

    def execute(self, *args: object, **options: object) -> str | None:
        for stream in (sys.stdout, sys.stderr):
            # On a terminal with ASCII only, a character such as an arrow must not break the command.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        try:
            return super().execute(*args, **options)
        except UnknownWorkflow as error:
            raise CommandError(_explain_unsynced(error) or str(error)) from error
        except DirectorError as error:
            raise CommandError(str(error)) from error
        except (DatabaseError, InterfaceError) as error:
            raise _database_error(error) from error
        except ConnectionDoesNotExist as error:
            raise CommandError(f'{error} DIRECTOR["DATABASE"] must name one of settings.DATABASES.') from error
        except BrokenPipeError:
            _exit_without_reader()
        except KeyboardInterrupt as error:
            raise CommandError("interrupted", returncode=INTERRUPTED) from error

    def handle(self, *args: object, verbosity: int, **options: object) -> None:
        self.verbosity = verbosity
        self.out = Printer(self.stdout, self.style)
        self.run_command(verbosity=verbosity, **options)
        self.stdout.flush()

    def run_command(self, *args: Any, **options: Any) -> None:
        """Do the work of the command. Each command has its own."""
        raise NotImplementedError

    def inform(self, text: str) -> None:
        """Print a message that is not data to the error stream; with ``--verbosity 0`` print nothing."""
        if self.verbosity:
            self.stderr.write(text, style_func=str)

    def print_done(self, run: Run, what: str) -> None:
        """Print what was done with a run; the id of the run is the last word."""
        self.out.line(f"{run.workflow}: {what} {run.pk}")

    def fail(self, message: str, returncode: int = FAILED) -> NoReturn:
        """End the command with a message and an exit code. Raises ``CommandError``."""
        raise CommandError(message, returncode=returncode)


class ActingCommand(DirectorCommand):
    """A command that changes something; with ``--user`` it acts as that user."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--user", metavar="NAME", help="act as this user: checks the permissions, writes the history"
        )

    def act_as(self, name: str | None, action: Action, row: Workflow | Run | Task) -> User:
        """Return the user ``name``, and ``None`` without a name.

        Raises ``NotAllowed`` if the user may not do ``action`` with ``row``, ``CommandError`` for an unknown user.
        """
        if not name:
            return None
        model: Any = get_user_model()
        try:
            user: User = model._default_manager.get_by_natural_key(name)
        except model.DoesNotExist:
            raise CommandError(f"unknown user “{name}”") from None
        action.require(user, row)
        return user


def add_json_argument(parser: _ActionsContainer) -> None:
    """Add the option ``--json``."""
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON for scripts")


def add_dry_run_argument(parser: ArgumentParser) -> None:
    """Add the option ``--dry-run``."""
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, change nothing")


def add_payload_argument(parser: ArgumentParser) -> None:
    """Add the argument PAYLOAD, which ``read_payload`` reads."""
    parser.add_argument("payload", nargs="?", help="JSON, @FILE, or - for the standard input")


def read_payload(text: str | None) -> JsonValue:
    """Return the value of a PAYLOAD argument; ``None`` without one. Raises ``CommandError`` if it is no JSON."""
    if text is None:
        return None
    source, text = _payload_text(text)
    try:
        value: JsonValue = parse(text)
    except RecursionError:
        raise CommandError(f"{source} is nested too deeply") from None
    except ValueError as error:
        hint = " (in quotes for the shell: '{\"order\": 7}')" if source == "the payload" else ""
        raise CommandError(f"{source} is not JSON: {error}{hint}") from error
    return value


def _payload_text(text: str) -> tuple[str, str]:
    """Return the source of a payload, for messages, and the text of the payload."""
    if text == "-":
        return "the standard input", sys.stdin.read()
    if not text.startswith("@"):
        return "the payload", text
    try:
        return text[1:], Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandError(f"the payload can't be read from “{text[1:]}”: {reason}") from error


def _explain_unsynced(error: UnknownWorkflow) -> str:
    """Return what to do about a workflow that a file has and the database lacks; empty if no file has it."""
    place = place_in_files(error.name)
    if place is None:
        return ""
    return f"the workflow “{error.name}” stands in {place} and is not synced: run “manage.py syncworkflows” first"


def _database_error(error: Exception) -> Exception:
    """Return a ``CommandError`` for an error that an operator can repair; return any other error unchanged."""
    text = str(error).strip()
    if is_unmigrated(error):
        return CommandError(f"run “{migrate_command()}” first; the database says: {text.splitlines()[0]}")
    if isinstance(error, OperationalError | DataError) and is_of_data(error):
        return CommandError(f"the database can't store this: {text}")
    if isinstance(error, OperationalError | InterfaceError):
        return CommandError(f"the database does not answer: {text}")
    return error


def _exit_without_reader() -> NoReturn:
    """End the command with success after its reader has closed the pipe, such as ``head``."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)
