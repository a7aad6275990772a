"""A virtual environment for celery-director, made on demand and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
VERSION = (3, 11)


def python() -> Path:
    """Its interpreter. The first call installs from the package index, in about a minute.

    Raises ``SystemExit`` without a Python 3.11 and ``subprocess.CalledProcessError`` when installing fails.
    """
    name = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    home = cache / "django-director-benchmarks" / f"celery-director-{name}"
    done = home / "installed"
    if not done.exists():
        shutil.rmtree(home, ignore_errors=True)
        print(f"installing celery-director into {home}", file=sys.stderr)
        subprocess.run([_base(), "-m", "venv", home], check=True)
        _pip(home / "bin" / "python", "install", "-q", "-r", str(REQUIREMENTS))
        done.touch()
    return home / "bin" / "python"


def versions() -> list[str]:
    """What is installed there, as ``name==version``."""
    return _pip(python(), "freeze").split()


def _pip(interpreter: Path, *words: str) -> str:
    # Isolated: our own package, on the driver's path, is none of its business.
    command = [str(interpreter), "-I", "-m", "pip", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _base() -> str:
    if sys.version_info[:2] == VERSION:
        return sys.executable
    found = shutil.which("python3.11")
    if found is None:
        raise SystemExit("celery-director 0.10.0 needs a python3.11 on the PATH")
    return found
