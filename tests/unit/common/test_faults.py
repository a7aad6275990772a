"""Every fault point that is listed exists, and the other way round."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import django_director
from django_director.common import failpoints

PACKAGE = Path(django_director.__file__).parent


def test_the_list_of_points_is_true():
    used = set()
    for path in PACKAGE.rglob("*.py"):
        for call in re.findall(r"failpoints\.point(?:\(|, )(\"[^)]*)\)", path.read_text()):
            used |= set(re.findall(r"\"([a-z.]+)\"", call))
    assert used == failpoints.POINTS


@pytest.mark.parametrize(("action", "code"), [("kill9", -9), ("raise", 1), ("sleep:0", 0), ("hold:/nowhere", 0)])
def test_a_point_does_what_it_is_told(action, code):
    program = "from django_director.common.failpoints import point; point('other'); point('claim.before')"
    environ = {"DIRECTOR_FAULT": f"claim.before:{action}"}
    ended = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, cwd=PACKAGE.parent)
    assert ended.returncode == code, ended.stderr


def test_only_the_first_process_is_hit(tmp_path):
    program = "from django_director.common import failpoints; failpoints.point('claim.before')"
    environ = {"DIRECTOR_FAULT": "claim.before:kill9", "DIRECTOR_FAULT_ONCE": str(tmp_path / "hit")}
    codes = [
        subprocess.run([sys.executable, "-c", program], env=environ, cwd=PACKAGE.parent).returncode
        for _ in range(2)
    ]
    assert codes == [-9, 0]
