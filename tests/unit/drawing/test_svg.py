from xml.etree import ElementTree

import pytest

from django_director.drawing.layout import lay_out
from django_director.drawing.picture import BY_CONCERN, faces, shorten
from django_director.drawing.svg import render
from django_director.graph import compile_definition
from django_director.status import TaskStatus
from tests.factories import definition, group

SVG = "{http://www.w3.org/2000/svg}"


def draw(*tasks, rows=(), link=lambda box: f"/task/{box.unit.positions[0]}/"):
    picture = lay_out(compile_definition(definition("a.b", *tasks)))
    return render(picture, faces(picture, rows), title="A picture", summary="Of tasks", link=link)


def parse(text):
    return ElementTree.fromstring(str(text))


def boxes(tree):
    return [each for each in tree.iter(f"{SVG}g") if "director-box" in each.get("class")]


def words(element):
    return [text.text for text in element.iter(f"{SVG}text")]


def test_status_is_a_class_a_text_and_an_icon():
    rows = [(0, TaskStatus.SUCCESS, 1), (1, TaskStatus.RUNNING, 3)]
    first, second = boxes(parse(draw("A", "B", rows=rows)))
    assert "director-success" in first.get("class")
    assert words(first) == ["A", "success"]
    assert words(second) == ["B", "running · attempt 3"]
    icons = [box.find(f"{SVG}path").get("d") for box in (first, second)]
    assert len(set(icons)) == 2


def test_it_has_a_title_a_description_and_links_with_names():
    tree = parse(draw("A", "B", rows=[(0, TaskStatus.FAILED, 1)]))
    assert [tree.find(f"{SVG}title").text, tree.find(f"{SVG}desc").text] == ["A picture", "Of tasks"]
    links = list(tree.iter(f"{SVG}a"))
    assert [link.get("href") for link in links] == ["/task/0/", "/task/1/"]
    assert links[0].get("aria-label") == "A: failed"


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a\"b'c&d", "]]>", "\u202eflow", "\x07bell", "x" * 5_000, "名" * 100]
)
def test_hostile_names_stay_text(name):
    tree = parse(draw("A", name))
    assert {element.tag for element in tree.iter()} <= {
        f"{SVG}{tag}" for tag in ("svg", "title", "desc", "path", "a", "g", "rect", "text", "circle")
    }
    label = words(boxes(tree)[1])[0]
    assert len(label) <= 30
    assert "\u202e" not in label


def test_no_styles_and_no_handlers():
    text = str(draw("A", group("G", "B", "C"), group("H", "D", "E")))
    assert "style" not in text
    for element in parse(text).iter():
        assert not [name for name in element.attrib if name.startswith("on")]


def test_a_folded_box_counts_by_status_and_shows_the_worst():
    rows = [(0, TaskStatus.SUCCESS, 1)] + [(n, TaskStatus.SUCCESS, 1) for n in range(1, 700)]
    rows[5] = (5, TaskStatus.FAILED, 1)
    _, folded = boxes(parse(draw("A", group("G", *[f"t{n}" for n in range(699)]), rows=rows)))
    assert "director-failed" in folded.get("class")
    assert words(folded) == ["G", "1 failed · 698 success"]
    assert folded.find(f"{SVG}title").text == "G: 1 failed · 698 success"


def test_every_status_has_its_place_among_the_concerns():
    assert set(BY_CONCERN) == set(TaskStatus)


def test_shorten_counts_wide_characters_twice():
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"
    assert shorten("名名名", 4) == "名…"
