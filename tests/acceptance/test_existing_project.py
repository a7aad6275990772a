"""docs/how-to/existing-project.md is enough to add director to a project with tasks, and to remove it again."""

from __future__ import annotations

import re
import shlex

import pytest

from example_project.environment import SQLITE_OPTIONS

from .harness import ROOT
from .new_project import COMMAND, Project, make_project

PAGE = (ROOT / "docs" / "how-to" / "existing-project.md").read_text()
ADDING, REMOVING = (COMMAND.findall(part) for part in PAGE.split("## Remove it again"))
SQLITE = f'\nDATABASES["default"]["OPTIONS"] = {SQLITE_OPTIONS!r}\n'

pytestmark = [pytest.mark.worker, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("existing"), "acme", "billing", PAGE)
    with (project.folder / "acme" / "settings.py").open("a") as settings:
        settings.write(SQLITE)
    return project


def test_from_adding_it_to_a_run_to_removing_it(project: Project) -> None:
    assert [shlex.split(line)[1] for line in ADDING] == [
        *("migrate", "check", "checkworkflows", "syncworkflows", "runworkflow")
    ]
    said = [project.python(*shlex.split(line)) for line in ADDING]
    assert "no issues" in said[1]
    # The tasks' own classes are in use, that of the app and that of one task.
    assert "begins: billing.tasks.charge" in said[-1]
    assert "audit: billing.tasks.receipt receipt for ch_7 in en" in said[-1]
    assert 'result\t"receipt for ch_7 in en"' in said[-1]
    for line in REMOVING:
        project.python(*shlex.split(line))
    settings = project.folder / "acme" / "settings.py"
    settings.write_text(settings.read_text().replace('"django_director", ', ""))
    base = project.folder / "acme" / "base.py"
    base.write_text(re.sub("django_director.celery import DirectorTask", "celery import Task", base.read_text()))
    base.write_text(base.read_text().replace("(DirectorTask)", "(Task)"))
    (project.folder / "billing" / "workflows.yml").unlink()
    assert "no issues" in project.python("manage.py", "check")
