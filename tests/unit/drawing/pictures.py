"""Makes pictures for tests, and checks that a drawing can be read."""

import itertools

from django_director.drawing.parts import outline
from django_director.drawing.picture import draw
from django_director.graph import compile_definition
from tests.factories import definition


def picture_of(*tasks, unfolded=(), **fields):
    graph = compile_definition(definition("a.b", *tasks, **fields))
    return draw(outline(graph), graph, unfolded)


def names(count, prefix="t"):
    return [f"{prefix}{number}" for number in range(count)]


def labels(picture):
    return [part.label for part in picture.boxes]


def corners(picture, sheet=None):
    """The corner of each box of the wide drawing, by label."""
    return dict(zip(labels(picture), (sheet or picture.wide).boxes, strict=True))


def check(picture):
    """Both drawings: nothing overlaps or is cut, frames hold what is theirs, and lines end at boxes."""
    for sheet in (picture.wide, picture.narrow):
        boxes = [(x, y, x + sheet.box[0], y + sheet.box[1]) for x, y in sheet.boxes]
        frames = [(each.part, _rectangle(each)) for each in sheet.frames]
        for one, other in itertools.combinations(boxes, 2):
            assert _are_apart(one, other)
        for rectangle in [*boxes, *(rectangle for _, rectangle in frames)]:
            assert _is_inside(rectangle, (0, 0, *sheet.size))
        for (_, one), (_, other) in itertools.combinations(frames, 2):
            assert _are_apart(one, other) or _is_inside(one, other) or _is_inside(other, one)
        for frame, around in frames:
            for part, box in zip(picture.boxes, boxes, strict=True):
                assert _are_apart(box, around) or _is_inside(box, around)
                if frame is not None:
                    assert _is_inside(box, around) == (part.positions[0] in frame.positions)
        _check_lines(sheet, [*boxes, *(rectangle for _, rectangle in frames)])


def _check_lines(sheet, rectangles):
    lines = [*sheet.lines, *sheet.across]
    ends = [{line.points[0] for line in lines}, {line.points[-1] for line in lines}]
    for line in lines:
        for point, others in ((line.points[0], ends[1]), (line.points[-1], ends[0])):
            touches = any(_touches(point, rectangle) for rectangle in rectangles)
            assert touches or point in sheet.dots or any(_is_near(point, other) for other in others), line
        if line.has_arrow:
            assert any(_touches(line.points[-1], rectangle) for rectangle in rectangles), line
        for x, y in line.points:
            assert -0.1 <= x <= sheet.size[0] + 0.1
            assert -0.1 <= y <= sheet.size[1] + 0.1


def _rectangle(frame):
    (x, y), (width, height) = frame.corner, frame.size
    return (x, y, x + width, y + height)


def _are_apart(one, other):
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def _is_inside(one, other):
    return other[0] <= one[0] and other[1] <= one[1] and one[2] <= other[2] + 0.01 and one[3] <= other[3] + 0.01


def _touches(point, rectangle):
    x, y = point
    left, top, right, bottom = rectangle
    beside = top - 0.1 <= y <= bottom + 0.1 and (abs(x - left) < 0.1 or abs(x - right) < 0.1)
    return beside or (left - 0.1 <= x <= right + 0.1 and (abs(y - top) < 0.1 or abs(y - bottom) < 0.1))


def _is_near(one, other):
    return abs(one[0] - other[0]) < 0.1 and abs(one[1] - other[1]) < 0.1
