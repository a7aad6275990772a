"""Brings the translations up to date with the texts in the code, and compiles them.

python -m scripts.messages [--check]

New texts are added without a translation, and those that nobody says any more go. It needs GNU gettext.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "django_director"


def main(*, is_check: bool) -> int:
    """Write all catalogs anew; with ``is_check`` only return 1 if that would change one."""
    catalogs = sorted((PACKAGE / "locale").glob("*/LC_MESSAGES/django.po"))
    before = {path: path.read_bytes() for path in catalogs}
    try:
        _collect([path.parts[-3] for path in catalogs])
        changed = [path for path in catalogs if path.read_bytes() != before[path]]
    finally:
        if is_check:
            for path, content in before.items():
                path.write_bytes(content)
    for path in changed:
        sys.stdout.write(f"{'to be brought up to date (make messages)' if is_check else 'changed'}: {path}\n")
    if not is_check:
        for path in catalogs:
            subprocess.run(["msgfmt", "--check-format", "-o", path.with_suffix(".mo"), path], check=True)
    return int(is_check and bool(changed))


def _collect(languages: list[str]) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.core.management import call_command
    from django.core.management.commands.makemessages import Command

    django.setup()
    command = Command()
    # A guess would be a wrong translation that looks like a right one.
    command.msgmerge_options = [*command.msgmerge_options, "--no-fuzzy-matching"]
    # Lines are not wrapped: versions of gettext do that differently.
    plain = {"no_location": True, "no_obsolete": True, "no_wrap": True}
    with contextlib.chdir(PACKAGE):
        call_command(command, locale=languages, verbosity=0, **plain)
    for language in languages:
        path = PACKAGE / "locale" / language / "LC_MESSAGES" / "django.po"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        # The date changes each time.
        path.write_text("".join(line for line in lines if "POT-Creation-Date" not in line), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if something is to be done")
    sys.exit(main(is_check=parser.parse_args().check))
