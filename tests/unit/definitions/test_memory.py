"""Reading is bounded in memory: the measure is a whole process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .test_safety import REFUSED

ROOT = Path(__file__).parents[3]
MEGABYTES = 200
#: Reads a file as `sync` does; says how many problems it has, and the most memory the process ever held.
READ = """
import sys
from pathlib import Path
import django
django.setup()
from django_director.definitions import read_files
print(len(read_files([Path(sys.argv[1])]).problems))
print(Path("/proc/self/status").read_text())
"""


@pytest.mark.fault(27)
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_bombs_fill_no_memory(tmp_path: Path, text: str):
    path = tmp_path / "workflows.yml"
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    problems, _, status = done.stdout.partition("\n")
    peak = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M)
    assert peak is not None
    assert problems == "1"
    assert int(peak[1]) < MEGABYTES * 1024
