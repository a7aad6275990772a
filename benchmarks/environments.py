"""Virtual environments of contenders, made on demand and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Environment:
    """The packages of ``benchmarks/FOLDER/requirements.txt``, with a Python of this version, or with ours."""

    folder: str
    version: tuple[int, int] | None = None

    def python(self) -> Path:
        """Its interpreter. The first call installs from the package index, in a minute or a few.

        Raises ``SystemExit`` without such a Python and ``subprocess.CalledProcessError`` when installing fails.
        """
        requirements = HERE / self.folder / "requirements.txt"
        home = self._home(requirements)
        done = home / "installed"
        if not done.exists():
            shutil.rmtree(home, ignore_errors=True)
            print(f"installing {self.folder} into {home}", file=sys.stderr)
            subprocess.run([self._base(), "-m", "venv", home], check=True)
            _pip(home / "bin" / "python", "install", "-qq", "-r", str(requirements))
            done.touch()
        return home / "bin" / "python"

    def versions(self) -> dict[str, str]:
        """What is installed there: versions by the names of packages."""
        return dict(line.split("==") for line in _pip(self.python(), "freeze").split() if "==" in line)

    def _home(self, requirements: Path) -> Path:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
        name = f"{self.folder.replace('_', '-')}-{digest}"
        return cache / "django-director-benchmarks" / name

    def _base(self) -> str:
        if self.version in (None, sys.version_info[:2]):
            return sys.executable
        wanted = "python{}.{}".format(*self.version or ())
        found = shutil.which(wanted)
        if found is None:
            raise SystemExit(f"{self.folder} needs a {wanted} on the PATH")
        return found


CELERY_DIRECTOR = Environment("celery_director", version=(3, 11))
PREFECT = Environment("prefect")
AIRFLOW = Environment("airflow")


def _pip(interpreter: Path, *words: str) -> str:
    # Isolated: our own package, on the driver's path, is none of its business.
    command = [str(interpreter), "-I", "-m", "pip", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
