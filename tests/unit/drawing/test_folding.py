import pytest

from django_director.drawing.folds import MOST_BOXES
from django_director.drawing.parts import MAX_BOXES
from tests.factories import chain, group, mapped, step
from tests.unit.drawing.pictures import check, labels, names, picture_of


def number_of(picture, label):
    """The number of the folded box with this label."""
    return next(part.number for part in picture.boxes if part.label == label and part.is_frame)


def test_a_small_graph_is_not_folded():
    picture = picture_of("A", group("G", *names(MAX_BOXES - 2)), "B")
    assert len(picture.boxes) == MAX_BOXES
    assert not picture.is_folded


def test_a_large_group_is_divided_and_a_small_one_stays_open():
    picture = picture_of("A", group("BIG", *names(100)), group("SMALL", "X", "Y"), "B")
    stretches = [f"t{start} … t{start + 24}" for start in range(0, 100, 25)]
    assert labels(picture) == ["A", *stretches, "X", "Y", "B"]
    assert [len(part.positions) for part in picture.boxes] == [1, 25, 25, 25, 25, 1, 1, 1]
    assert [frame.part.label for frame in picture.wide.frames] == ["BIG", "SMALL"]


def test_no_more_is_folded_than_needed():
    inner = [group(f"G{n}", *names(60, f"{n}-")) for n in range(10)]
    assert labels(picture_of(group("OUTER", *inner))) == [f"G{n}" for n in range(10)]


@pytest.mark.parametrize("count", [61, 500, 5_000, 50_000])
def test_a_long_chain_folds_into_stretches(count):
    picture = picture_of(*names(count))
    assert 3 <= len(picture.boxes) <= MAX_BOXES
    assert labels(picture)[0].startswith("t0 … ")
    assert labels(picture)[-1].endswith(f" … t{count - 1}")
    check(picture)


def test_each_task_is_in_one_box():
    hooks = {"always": tuple(step(f"hooks.always.H{number}") for number in range(130))}
    body = mapped("M", "S", "T")
    picture = picture_of(*names(700, "a"), group("G", *names(800)), body, *names(30, "z"), hooks=hooks)
    positions = sorted(position for part in picture.boxes for position in (*part.positions, *part.items))
    assert positions == list(range(1_531 + 2 + 130))
    assert sorted(picture.box_of) == positions
    assert len(picture.boxes) <= MAX_BOXES


def test_what_is_unfolded_is_open_with_all_around_it():
    tasks = (*names(40), group("OUTER", *[group(f"G{n}", *names(50, f"{n}-")) for n in range(30)]))
    picture = picture_of(*tasks)
    assert labels(picture) == [*names(40), "OUTER"]
    outer = picture_of(*tasks, unfolded=[number_of(picture, "OUTER")])
    assert len(outer.boxes) == 40 + 30
    seventh = number_of(outer, "G7")
    inner = picture_of(*tasks, unfolded=[seventh])
    assert len(inner.boxes) == 40 + 29 + 50
    assert "7-49" in labels(inner)
    position = inner.boxes[labels(inner).index("7-5")].positions[0]
    assert inner.outline.path_to(position) == (inner.outline.root.number, number_of(picture, "OUTER"), seventh)
    check(inner)


def test_a_picture_has_room_for_so_many_boxes_only():
    tasks = ("A", group("OUTER", *[group(f"G{n}", *names(50, f"{n}-")) for n in range(40)]))
    numbers = [part.number for part in picture_of(*tasks).boxes if part.is_frame]
    picture = picture_of(*tasks, unfolded=[*numbers, 10**8])
    assert MAX_BOXES < len(picture.boxes) <= MOST_BOXES


def test_large_pictures_fold_whatever_needs_what():
    """What is folded into one box may wait for a box that waits for it: then a line goes back."""
    many = [step(f"A{n}", needs=(f"A{n - 7}",) if n > 7 else ()) for n in range(400)]
    others = [step(f"B{n}", needs=(f"A{n}", f"B{n - 1}") if n else ("A0",)) for n in range(400)]
    picture = picture_of(group("G", *many), chain("H", *others))
    assert len(picture.boxes) <= MAX_BOXES
    check(picture)
    check(picture_of(group("G", *many), chain("H", *others), unfolded=[part.number for part in picture.boxes]))
