"""Make the example project ready to run: tables, workflows, an admin user, files in the inbox."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

USER = "admin"
PASSWORD = "director"
SAMPLES = Path(__file__).parent / "samples"


def prepare() -> None:
    """May be done any number of times; files of the samples are put back as they were."""
    from django.conf import settings
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    shutil.copytree(SAMPLES, settings.INBOX, dirs_exist_ok=True)
    call_command("syncworkflows")


def login() -> str:
    """The words that let somebody into the admin; the user is made when there is none."""
    from django.contrib.auth import get_user_model

    users = get_user_model()._default_manager
    user = users.filter(username=USER).first()
    if user is None:
        users.create_superuser(username=USER, email="", password=PASSWORD)
    elif not user.check_password(PASSWORD):
        return f"user {USER}, with the password that was set in the admin"
    return f"user {USER}, password {PASSWORD}"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
    import django

    django.setup()
    prepare()
    sys.stdout.write(f"Login: {login()}\n")


if __name__ == "__main__":
    main()
