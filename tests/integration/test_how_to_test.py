"""The code of “Testing code that starts workflows” in docs/how-to/test.md, run as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.urls import path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test.md"
SECTION = PAGE.read_text().split("## Testing code that starts workflows", 1)[1]
BLOCKS = re.findall(r"```python\n(.*?)```", SECTION, re.S)
FILE = """
shop.ORDER: {tasks: [NOOP, ECHO]}
shop.RETURN: {tasks: [NOOP, SIGN_OFF: {type: approval}, ECHO]}
"""

urls = ModuleType("shop_urls")
exec(compile(BLOCKS[0], str(PAGE), "exec"), vars(urls))
vars(urls)["urlpatterns"] = [path("orders/", vars(urls)["place_order"])]
for block in BLOCKS[1:]:
    # Classes and functions of tests, which pytest finds here.
    exec(compile(block, str(PAGE), "exec"), globals())


@pytest.fixture(autouse=True)
def _shop(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shop_urls", urls)
    (tmp_path / "workflows.yml").write_text(FILE)
    settings.ROOT_URLCONF = "shop_urls"
    settings.DIRECTOR = {"WORKFLOWS": [str(tmp_path / "workflows.yml")]}


def test_all_of_it_was_found(request: pytest.FixtureRequest) -> None:
    names = {item.name for item in request.session.items if item.path == Path(__file__)}
    if len(names) == 1:
        pytest.skip("other tests were deselected")
    assert names >= {"test_an_order_is_shipped", "test_a_return_is_signed_off"}
    assert len(BLOCKS) == 5
