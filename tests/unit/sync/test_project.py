"""Names that workflow files give of the project's classes."""

from __future__ import annotations

import pytest

from django_director.definitions import check_retries
from django_director.sync.project import import_name
from tests.unit.definitions.helpers import read_text


def test_names_of_classes(tmp_path, monkeypatch):
    (tmp_path / "ours.py").write_text("class Order:\n    class Missing(Exception): ...\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert import_name("ours.Order.Missing").__name__ == "Missing"
    assert import_name("celery.exceptions.Retry").__name__ == "Retry"
    with pytest.raises(ImportError, match="ZeroDivisionError: division by zero"):
        import_name("broken.Error")
    with pytest.raises(AttributeError):
        import_name("ours.Order.Lost")
    with pytest.raises(ImportError):
        import_name("nowhere.Error")


def test_each_wrong_name_is_told_once_for_each_place(tmp_path):
    reading = read_text(
        tmp_path,
        """shop.A:
  tasks: [A, B, C: {retry: {max: 1, only: [nowhere.Error, KeyError]}}]
  defaults: {retry: {max: 1, never: [nowhere.Error, django.db.Error]}}
  hooks: {failure: A}
""",
    )
    problems = check_retries(reading.definitions, import_name)
    assert [(problem.place.line, problem.step) for problem in problems] == [(3, "A"), (2, "C")]
