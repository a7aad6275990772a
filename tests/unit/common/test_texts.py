"""Texts from outside: what acts on other texts is taken out, what people write stays."""

import json

import pytest

from django_director.common.texts import escaped, on_one_line, readable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b(Bplain", "plain"),
        ("\u202egnp.exe", "�gnp.exe"),
        ("a\x07b\x00c\u2028d", "a�b�c�d"),
        ("one\r\ntwo\tthree\n", "one\ntwo\tthree\n"),
        ("1\u202f234\xa0€", "1\u202f234\xa0€"),
        ("می\u200cرو 👩\u200d🔧", "می\u200cرو 👩\u200d🔧"),
    ],
)
def test_texts_can_only_be_read(text, shown):
    assert readable(text) == shown


def test_a_name_has_one_line():
    assert on_one_line("a\nb\x1b[31mc") == "a�bc"


def test_json_is_escaped_and_stays_the_same_value():
    value = {"a\u202e": ["\x9b", "é\n", "\U000e0001"]}
    text = escaped(json.dumps(value, ensure_ascii=False, indent=1))
    assert "\u202e" not in text
    assert "é" in text
    assert json.loads(text) == value
