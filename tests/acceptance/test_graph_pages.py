"""The graph in a real browser: it fits, zooms, pans, opens at what failed, and is one tab stop."""

import pytest

from tests import factories
from tests.integration.admin.pages import address, order

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

WIDTH = "document.querySelector('.director-wide').getBoundingClientRect().width"
FOCUSED = "document.activeElement.getAttribute('aria-label')"
STOPS = "document.querySelectorAll('.director-wide a:not([tabindex=\"-1\"])').length"
SCROLLED = "document.querySelector('.director-picture').scrollTop"
IS_SEEN = """element => {
  const frame = document.querySelector('.director-picture').getBoundingClientRect();
  const box = element.getBoundingClientRect();
  return box.top >= frame.top && box.bottom <= frame.bottom && box.left >= frame.left && box.right <= frame.right;
}"""


def long_run(count=60):
    names = [f"STEP_{number}" for number in range(count)]
    statuses = {name: "success" if number < 50 else "upstream_failed" for number, name in enumerate(names)}
    workflow = factories.make_workflow(factories.definition("shop.LONG", *names))
    return factories.make_run(workflow, "failed", statuses | {"STEP_50": "failed"})


@pytest.fixture
def graph(open_page):
    return open_page(address("run_change", long_run().pk), viewport={"width": 1280, "height": 800})


def box(page, label, drawing="wide"):
    return page.locator(f".director-{drawing} a[aria-label^='{label}:']")


def test_it_fits_and_opens_at_what_failed(graph):
    frame = graph.locator(".director-picture")
    assert frame.evaluate("element => element.scrollWidth - element.clientWidth") == 0
    assert box(graph, "STEP_50").evaluate(IS_SEEN)
    assert graph.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_it_is_one_tab_stop_with_arrow_keys_inside(graph):
    graph.locator("[data-do=full]").focus()
    graph.keyboard.press("Tab")
    assert graph.evaluate(FOCUSED) == "STEP_50: failed"
    assert graph.evaluate(STOPS) == 1
    graph.keyboard.press("ArrowRight")
    assert graph.evaluate(FOCUSED) == "STEP_51: upstream failed"
    graph.keyboard.press("ArrowUp")
    assert graph.evaluate(FOCUSED) == "STEP_46: success"
    graph.keyboard.press("Home")
    assert graph.evaluate(FOCUSED) == "STEP_0: success"
    assert box(graph, "STEP_0").evaluate(IS_SEEN)
    for _ in range(5):
        graph.keyboard.press("ArrowRight")
    assert graph.evaluate(FOCUSED) == "STEP_5: success", "after the end of a row comes the next"
    graph.keyboard.press("Tab")
    assert graph.evaluate("document.activeElement.closest('.director-picture')") is None


def test_keys_buttons_and_the_wheel_zoom_it(graph):
    fitting = graph.evaluate(WIDTH)
    box(graph, "STEP_50").focus()
    graph.keyboard.press("+")
    assert graph.evaluate(WIDTH) == pytest.approx(fitting * 1.25, abs=2)
    graph.keyboard.press("0")
    frame = graph.locator(".director-picture")
    assert frame.evaluate("element => element.scrollHeight - element.clientHeight") <= 1
    before = graph.evaluate(WIDTH)
    graph.get_by_role("button", name="Zoom in").click()
    graph.get_by_role("button", name="Zoom out").click()
    assert graph.evaluate(WIDTH) == pytest.approx(before, abs=2)
    graph.locator(".director-picture").hover()
    graph.keyboard.down("Control")
    graph.mouse.wheel(0, -200)
    graph.keyboard.up("Control")
    graph.wait_for_function(f"{WIDTH} > {before} * 1.2")


def test_it_is_dragged_without_opening_a_box(graph):
    graph.locator(".director-graph-more").scroll_into_view_if_needed()
    scrolled, here = graph.evaluate(SCROLLED), graph.url
    middle = box(graph, "STEP_50").bounding_box()
    graph.mouse.move(middle["x"] + 20, middle["y"] + 20)
    graph.mouse.down()
    graph.mouse.move(middle["x"] + 20, middle["y"] + 120, steps=5)
    graph.mouse.up()
    assert graph.evaluate(SCROLLED) == pytest.approx(max(scrolled - 100, 0), abs=6)
    assert graph.url == here
    box(graph, "STEP_46").click()
    graph.wait_for_url("**/task/**")


def test_f_shows_it_on_the_full_screen(graph):
    box(graph, "STEP_50").focus()
    graph.keyboard.press("f")
    graph.wait_for_function("document.fullscreenElement?.matches('[data-graph]')")
    graph.keyboard.press("f")
    graph.wait_for_function("!document.fullscreenElement")


def test_two_fingers_zoom_it_on_a_phone(open_page):
    phone = {"viewport": {"width": 420, "height": 800}, "has_touch": True, "is_mobile": True}
    page = open_page(address("run_change", long_run(20).pk), **phone)
    narrow = page.locator(".director-narrow")
    assert narrow.is_visible()
    assert page.locator(".director-wide").is_hidden()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    before = narrow.bounding_box()["width"]
    narrow.scroll_into_view_if_needed()
    frame = page.locator(".director-picture").bounding_box()
    x, y = frame["x"] + 150, max(frame["y"], 0) + 150
    client = page.context.new_cdp_session(page)

    def touch(kind, apart):
        points = [{"x": x, "y": y}, {"x": x, "y": y + apart}] if apart else []
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 50)
    for apart in (60, 80, 100):
        touch("touchMove", apart)
    touch("touchEnd", 0)
    page.wait_for_function(
        "before => document.querySelector('.director-narrow').getBoundingClientRect().width > before * 1.5",
        arg=before,
    )


def test_without_javascript_boxes_are_links_and_folded_ones_open(open_page):
    names = [f"STEP_{number}" for number in range(200)]
    workflow = factories.make_workflow(factories.definition("shop.LONG", *names))
    run = factories.make_run(workflow, "success", dict.fromkeys(names, "success"))
    page = open_page(address("run_change", run.pk), java_script_enabled=False)
    assert page.locator("[data-graph-tools]").is_hidden()
    assert page.locator(".director-wide").bounding_box()["width"] <= 1_000
    page.locator(".director-wide a[aria-label^='STEP_25 … STEP_49']").click()
    box(page, "STEP_30").click()
    page.wait_for_url(f"**{address('task_change', run.tasks.get(step='STEP_30').pk)}")


def test_a_graph_without_links_scrolls_by_keyboard(open_page):
    page = open_page(address("workflow_change", order().pk))
    frame = page.locator(".director-picture")
    frame.focus()
    before = page.evaluate(WIDTH)
    page.keyboard.press("+")
    assert page.evaluate(WIDTH) > before
