"""The base classes of the commands that do something with one run."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, ClassVar

from django_director.models import Run
from django_director.models.users import User
from django_director.presentation.actions import ACTIONS, Action
from django_director.presentation.lookups import find_run

from .base import VIA, ActingCommand, Options, add_dry_run_argument
from .outcome import add_wait_arguments, check_wait_arguments, wait_for_outcome


class RunCommand(ActingCommand):
    """A command that does something with one run; with ``--dry-run`` it only prints what it would do."""

    verb: ClassVar[str]
    """The verb of its action in ``presentation.actions``."""

    @property
    def action(self) -> Action:
        """The action that the command performs."""
        return ACTIONS[self.verb]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", help="the run's id, or its first digits")
        add_dry_run_argument(parser)
        super().add_arguments(parser)

    def run_command(self, *, run: str, dry_run: bool, user: str | None, **options: object) -> None:
        found = find_run(run)
        actor = self.act_as(user, self.action, found)
        if dry_run:
            self.preview(found, options)
        else:
            self.act(found, actor, options)

    def preview(self, run: Run, options: Options) -> None:
        """Print what the command would do."""
        raise NotImplementedError

    def act(self, run: Run, user: User, options: Options) -> None:
        """Perform the action as ``user``, and print what was done."""
        raise NotImplementedError

    def perform(self, run: Run, user: User, **given: object) -> Run:
        """Call the operation of the action; return the run that it returns, which may be a new one."""
        done: Run = self.action.operation(run, user=user, via=VIA, **given)
        return done


class WaitingRunCommand(RunCommand):
    """A command that lets a run go on, or starts one; with ``--wait`` it waits for the outcome of that run."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_wait_arguments(parser)

    def run_command(self, *args: Any, **options: Any) -> None:
        check_wait_arguments(options["wait"], options["timeout"])
        super().run_command(*args, **options)

    def act(self, run: Run, user: User, options: Options) -> None:
        begun = self.begin_run(run, user, options)
        if options["wait"]:
            wait_for_outcome(self, begun, options["timeout"])

    def begin_run(self, run: Run, user: User, options: Options) -> Run:
        """Let ``run`` go on, or start a new run; return the run for which ``--wait`` waits."""
        raise NotImplementedError
