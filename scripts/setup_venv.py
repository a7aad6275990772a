"""Make ``.venv`` beside this project, with the package and its dependencies; nothing is done when it is there.

    python3 scripts/setup_venv.py [GROUP ...]

GROUPs are dependency groups of pyproject.toml. They are read here, since older pips do not know them. What was
installed is remembered in ``.venv``, so that a second call needs neither time nor a network.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STATE = VENV / "director-setup.json"
MINIMUM = (3, 11)
NEWER = ("python3.13", "python3.12", "python3.11", "python3.14")


def fail(message: str) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    raise SystemExit(1)


def use_new_enough_python() -> None:
    """Start again with a newer Python of this machine when the present one is too old."""
    if sys.version_info >= MINIMUM:
        return
    for name in NEWER:
        if shutil.which(name) and not subprocess.call([name, "-c", "import venv"], stderr=subprocess.DEVNULL):
            raise SystemExit(subprocess.call([name, *sys.argv]))
    fail(f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}, and there is no other.")


def requirements(groups: list[str]) -> list[str]:
    import tomllib  # Only since 3.11, and this file must be readable by older Pythons.

    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    known = project["dependency-groups"]
    if unknown := set(groups) - set(known):
        fail(f"pyproject.toml has no dependency group {', '.join(sorted(unknown))}")
    return [requirement for group in groups for requirement in known[group]]


def wanted_state(groups: list[str]) -> dict[str, Any]:
    """What a finished installation depends on. The path: an editable installation points to it."""
    content = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    return {"pyproject": content, "root": str(ROOT), "groups": sorted(groups)}


def installed_state() -> dict[str, Any]:
    works = PYTHON.exists() and not subprocess.call(
        [PYTHON, "-c", "import django_director, celery, django"], cwd="/"
    )
    if not works or not STATE.exists():
        return {"groups": []}
    state: dict[str, Any] = json.loads(STATE.read_text(encoding="utf-8"))
    return state


def make_venv() -> None:
    if PYTHON.exists() and not subprocess.call([PYTHON, "-m", "pip", "--version"], stdout=subprocess.DEVNULL):
        return
    sys.stdout.write(f"Making the virtual environment {VENV}\n")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)]):
        fail(
            "The virtual environment could not be made, see above."
            " On Debian and Ubuntu it may need: apt install python3-venv"
        )


def install(groups: list[str]) -> None:
    words = ["install", "--quiet", "--disable-pip-version-check", "--editable", str(ROOT), *requirements(groups)]
    sys.stdout.write(f"Installing django-director with its dependencies ({', '.join(groups) or 'no groups'})\n")
    sys.stdout.flush()
    if subprocess.call([PYTHON, "-m", "pip", *words]):
        fail("The installation failed, see above.")


def main() -> None:
    use_new_enough_python()
    installed = installed_state() if VENV.exists() else {"groups": []}
    groups = sorted({*sys.argv[1:], *installed["groups"]})
    wanted = wanted_state(groups)
    if installed == wanted:
        return
    make_venv()
    install(groups)
    STATE.write_text(json.dumps(wanted), encoding="utf-8")


if __name__ == "__main__":
    main()
