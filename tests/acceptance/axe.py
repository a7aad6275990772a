"""Asks axe-core what people who can't see well, or use no mouse, can't use on a page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

SEVERE = ("serious", "critical")
COLOURS = ("color-contrast", "link-in-text-block")
SIZES = ("target-size",)
NAMES = "label-content-name-mismatch"
"""Off by itself in axe: a link whose name is not what is seen, so that it can't be chosen by speech."""
ROWS = 8
NOT_OURS = ("#searchbar",)
"""Django labels its search box by a picture, which has an alternative text; axe takes only text for a label."""
_ASK = """async ([names, only, not_ours, within]) => {
  const options = only.length ? { runOnly: only } : { rules: { [names]: { enabled: true } } };
  const places = { exclude: not_ours.map((each) => [each]) };
  if (within.length) places.include = within.map((each) => [each]);
  const found = await axe.run(places, options);
  // A name that is cut where it is seen, but not for screen readers, begins in the same way.
  const isCut = (id, target) => id === names && document.querySelector(target)?.textContent.includes("…");
  return found.violations.flatMap(({ id, impact, nodes }) =>
    nodes.filter(({ target }) => !isCut(id, target)).map(({ html }) => [id, impact, html.slice(0, 200)]));
}"""


@cache
def _source() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def shorten_tables(window: Any) -> None:
    """Leave the first rows of each table: axe takes its time for each, and the others are alike."""
    further = f"tbody > tr:nth-child(n+{ROWS + 1})"
    window.evaluate(f"document.querySelectorAll('{further}').forEach((row) => row.remove())")


def complaints(window: Any, *only: str, within: Sequence[str] = ()) -> list[str]:
    """Return what is severe on the page that a window shows.

    ``only`` names some of axe's rules, ``within`` the parts of the page.
    """
    if not window.evaluate("typeof axe === 'object'"):
        window.evaluate(_source())
    found = window.evaluate(_ASK, [NAMES, list(only), list(NOT_OURS), list(within)])
    return [f"{rule}: {markup}" for rule, impact, markup in found if impact in SEVERE]
