import itertools
import re
import time

import pytest

from django_director.drawing import folds
from django_director.drawing.layout import lay_out, spread
from django_director.drawing.picture import BOX_HEIGHT
from django_director.graph import compile_definition
from tests.factories import chain, definition, group


def picture_of(*tasks):
    return lay_out(compile_definition(definition("a.b", *tasks)))


def by_label(picture):
    return {box.unit.label: box for box in picture.boxes}


def names(count, prefix="t"):
    return [f"{prefix}{number}" for number in range(count)]


def segments(picture):
    return picture.lines.count("M")


def test_a_chain_is_one_straight_row():
    picture = picture_of("A", "B", "C")
    boxes = by_label(picture)
    assert boxes["A"].x < boxes["B"].x < boxes["C"].x
    assert len({box.y for box in picture.boxes}) == 1
    assert segments(picture) == 2


def test_members_of_a_group_stand_below_each_other_in_the_order_of_the_file():
    picture = picture_of("A", group("G", "X", "Y", "Z"), "B")
    boxes = by_label(picture)
    assert boxes["X"].x == boxes["Y"].x == boxes["Z"].x
    assert boxes["X"].y < boxes["Y"].y < boxes["Z"].y
    assert boxes["A"].y == boxes["Y"].y == boxes["B"].y


@pytest.mark.parametrize(
    "tasks",
    [
        ("A", group("G", *names(7)), group("H", *names(5, "h")), "B"),
        (group("G", chain("C", *names(4)), "X", group("I", "P", chain("J", "Q", "R"))), "Z"),
        (group("G", *[chain(f"C{n}", *names(1 + n * 7 % 9, f"{n}-")) for n in range(20)]), "Z"),
    ],
    ids=["groups", "nested", "ragged"],
)
def test_boxes_never_overlap_and_lie_inside_the_picture(tasks):
    picture = picture_of(*tasks)
    columns = {}
    for box in picture.boxes:
        columns.setdefault(box.x, []).append(box.y)
        assert 0 <= box.x <= picture.width - picture.box_width
        assert BOX_HEIGHT / 2 <= box.y <= picture.height - BOX_HEIGHT / 2
    for heights in columns.values():
        heights.sort()
        assert all(lower - upper >= BOX_HEIGHT for upper, lower in itertools.pairwise(heights)), heights


def test_a_join_of_several_to_several_is_drawn_through_a_dot():
    picture = picture_of(group("G", *names(30)), group("H", *names(40, "h")))
    assert len(picture.dots) == 1
    assert segments(picture) == 30 + 40


def test_a_join_with_one_side_needs_no_dot():
    picture = picture_of(group("G", *names(30)), "B")
    assert not picture.dots
    assert segments(picture) == 30


def test_long_lines_go_around_the_boxes_between():
    picture = picture_of(group("G", "SHORT", chain("C", "L1", "L2", "L3")), "END")
    boxes = by_label(picture)
    # The dummies' horizontal pieces: one for each of the two layers that the line of SHORT passes.
    passed = re.findall(r"([\d.]+)H[\d.]+", picture.lines)
    assert len(passed) == 2
    for height in map(float, passed):
        assert all(abs(height - boxes[name].y) > BOX_HEIGHT / 2 for name in ("L2", "L3"))


def test_lines_to_one_target_share_their_way():
    """Else a ragged group of n branches costs n dummies in each layer."""
    short = names(50)
    picture = picture_of(group("G", *short, chain("C", *names(30, "c"))), "END")
    assert segments(picture) < 50 + 30 + 30 + 5


def test_nothing_to_draw():
    picture = picture_of(group("G"))
    assert picture.boxes == ()
    assert picture.width > 0


def test_hundreds_of_boxes_take_a_moment():
    """Best of three: the machine may be busy. A quadratic layout would take seconds."""
    for size, limit in ((499, 0.3), (1_000, 0.3), (5_000, 1.5)):
        graph = compile_definition(definition("a.b", group("G", *names(size)), "END"))
        assert min(_seconds(graph) for _ in range(3)) < limit, size


def test_thousands_of_boxes_without_folding(monkeypatch):
    monkeypatch.setattr(folds, "MAX_BOXES", 10_000)
    graph = compile_definition(definition("a.b", group("G", *names(2_500)), group("H", *names(2_500, "h"))))
    assert len(lay_out(graph).boxes) == 5_000
    assert min(_seconds(graph) for _ in range(3)) < 1.5


def _seconds(graph):
    started = time.perf_counter()
    lay_out(graph)
    return time.perf_counter() - started


def test_spread_keeps_distances_and_moves_as_little_as_possible():
    assert spread([0, 0, 0], [0, 10, 20]) == [-10, 0, 10]
    assert spread([0, 50, 52], [0, 10, 20]) == [0, 46, 56]
