"""The style sheet against the statuses: each has a pair of colours, light and dark, that can be read."""

import re
from pathlib import Path

import pytest

import django_director
from django_director.drawing.icons import PATHS
from django_director.drawing.palette import COLOURS
from django_director.status import RunStatus, TaskStatus

CSS = (Path(django_director.__file__).parent / "static/django_director/director.css").read_text()
STATUSES = sorted({*TaskStatus.values, *RunStatus.values, "paused", "canceling", "none"})
PAIR = re.compile(r"--director-([a-z_]+)-(bg|fg): (#[0-9a-f]{6});")


def themes():
    """Light, dark by the system, dark by choice: in the order of the file."""
    found = [{}]
    for status, role, colour in PAIR.findall(CSS):
        if (status, role) in found[-1]:
            found.append({})
        found[-1][status, role] = colour
    return found


def luminance(colour):
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_there_are_three_themes_and_the_dark_ones_agree():
    light, by_system, by_choice = themes()
    assert by_system == by_choice
    assert light != by_system


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_can_be_read_in_each_theme(status):
    for theme in themes():
        assert contrast(theme[status, "bg"], theme[status, "fg"]) >= 4.5


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_has_a_class_and_an_icon(status):
    assert re.search(rf"\.director-{status}[ ,]", CSS)
    assert status in PATHS


def test_the_contrast_is_computed_right():
    assert round(contrast("#000000", "#ffffff"), 1) == 21.0
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


def test_pictures_in_files_have_the_light_colours():
    light = themes()[0]
    assert {status: (light[status, "bg"], light[status, "fg"]) for status, _ in light} == COLOURS
