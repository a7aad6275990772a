from xml.etree import ElementTree

import pytest

from django_director.drawing.faces import BY_CONCERN, faces
from django_director.drawing.palette import style_sheet
from django_director.drawing.picture import shorten
from django_director.drawing.svg import render, render_alone
from django_director.status import TaskStatus
from tests.factories import approval, child, group, mapped, step
from tests.unit.drawing.pictures import picture_of

SVG = "{http://www.w3.org/2000/svg}"


def draw(*tasks, rows=(), link=lambda part: f"/task/{part.positions[0]}/", **fields):
    picture = picture_of(*tasks, **fields)
    return render(picture, faces(picture, rows), title="A picture", summary="Of tasks", link=link)


def parse(text):
    """Return the wide drawing; the narrow one has the same boxes."""
    wide, narrow = ElementTree.fromstring(f"<p>{text}</p>")
    assert [words(box) for box in boxes(wide)] == [words(box) for box in boxes(narrow)]
    return wide


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
    framed = parse(draw(group(name, "A"), hooks={"always": (step(f"hooks.always.{name}"),)}))
    assert not any(char in text for text in framed.itertext() for char in "\u202e\x07")


def test_no_styles_and_no_handlers():
    text = str(draw("A", group("G", "B", "C"), group("H", "D", "E")))
    assert "style" not in text
    for element in parse(text).iter():
        assert not [name for name in element.attrib if name.startswith("on")]


def test_a_folded_box_counts_by_status_and_shows_the_worst():
    rows = [(n, TaskStatus.SUCCESS, 1) for n in range(62)]
    rows[5] = (5, TaskStatus.FAILED, 1)
    tasks = (*[f"t{n}" for n in range(2)], group("G", *[f"m{n}" for n in range(60)]))
    _, _, folded = boxes(parse(draw(*tasks, rows=rows)))
    assert "director-failed" in folded.get("class")
    assert words(folded) == ["G", "60/60, 1 failed"]
    assert folded.find(f"{SVG}title").text == "G: 60/60, 1 failed · 1 failed · 59 success"


def test_a_map_counts_its_items():
    rows = [(0, TaskStatus.WAITING, 1), *[(1, TaskStatus.SUCCESS, 1)] * 35, *[(1, TaskStatus.FAILED, 1)] * 2]
    (box,) = boxes(parse(draw(mapped("M", "S"), rows=[*rows, *[(1, TaskStatus.RUNNING, 1)] * 13])))
    assert words(box) == ["M", "37/50, 2 failed"]


def test_kinds_of_steps_are_told_by_mark_and_word():
    tree = parse(draw(approval("ASK"), child("SHIP", "a.C"), "T", rows=[(0, TaskStatus.WAITING, 1)]))
    names = [link.get("aria-label") for link in tree.iter(f"{SVG}a")]
    assert names == ["ASK: waiting (approval)", "SHIP (child run)", "T"]
    marks = [box.findall(f"{SVG}path[@class='director-kind']") for box in boxes(tree)]
    assert [len(found) for found in marks] == [1, 1, 0]


def test_containers_and_hooks_are_frames_with_names():
    hooks = {"failure": (step("hooks.failure.PAGE"),)}
    tree = parse(draw(group("G", "A", "B"), "C", hooks=hooks))
    frames = [each for each in tree.iter(f"{SVG}g") if "director-frame" in each.get("class")]
    assert [words(frame) for frame in frames] == [["G"], ["Hooks on failure"]]


def test_a_file_of_its_own_needs_no_style_sheet():
    picture = picture_of("A", "B")
    found = faces(picture, [(0, TaskStatus.FAILED, 1)])
    text = render_alone(picture, found, title="A picture", summary="Of tasks", style=style_sheet())
    tree = ElementTree.fromstring(str(text))
    assert ".director-failed rect{fill:#" in tree.find(f"{SVG}style").text
    assert not list(tree.iter(f"{SVG}a"))
    assert "var(" not in text


def test_every_status_has_its_place_among_the_concerns():
    assert set(BY_CONCERN) == set(TaskStatus)


def test_shorten_counts_wide_characters_twice():
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"
    assert shorten("名名名", 4) == "名…"
