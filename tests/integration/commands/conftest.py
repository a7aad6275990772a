from io import StringIO

import pytest
from django.core.management import call_command


class Terminal(StringIO):
    def isatty(self):
        return True


class Outcome:
    def __init__(self, out, talk):
        self.out, self.talk = out.getvalue(), talk.getvalue()
        self.lines = self.out.splitlines()


@pytest.fixture
def command():
    """Call a command in a pipe; its data and its talk apart."""

    def call(*args, **options):
        out, talk = StringIO(), StringIO()
        call_command(*args, stdout=out, stderr=talk, **options)
        return Outcome(out, talk)

    return call


@pytest.fixture
def on_terminal(monkeypatch):
    """The same on a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")

    def call(*args, **options):
        out, talk = Terminal(), Terminal()
        call_command(*args, stdout=out, stderr=talk, no_color=True, **options)
        return Outcome(out, talk)

    return call


@pytest.fixture
def failing(command):
    """Call a command that is to fail; its ``CommandError``."""
    from django.core.management import CommandError

    def call(*args, **options):
        with pytest.raises(CommandError) as caught:
            command(*args, **options)
        return caught.value

    return call
