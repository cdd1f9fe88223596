"""What is shown of any text: one line, no secrets, no control characters, not too long."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize_zoo import errors
from quantize_zoo.errors import CellError
from quantize_zoo.text.shown import LONGEST_LINE, LONGEST_WORD, shortened, shown, shown_lines, visible

HOSTILE = st.text(st.sampled_from("ab :/@'\"\n\r\t\x00\x1b[31m\x85\u2028\u202e\ud800\ufffe\U0001f600"), max_size=300)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("no device X", "no device X"),
        ("Größe 你好", "Größe 你好"),
        ("X\n\x1b[31mred", r"X \x1b[31mred"),
        ("a\x00b", r"a\x00b"),
        ("one\r\n  two\n", "one two"),
        ("a  b", "a  b"),
        ("\u202eexe.txt", r"\u202eexe.txt"),
        ("postgresql://zoo:s3cret@host/db", "postgresql://zoo:***@host/db"),
        ("in <distributed.comm.tcp.TCPConnector object at 0x7f0c>: no", "in TCPConnector: no"),
    ],
)
def test_a_text_is_one_line_without_secrets_and_control_characters(text, written):
    assert shown(text) == written


def test_a_long_value_keeps_its_ends_and_tells_its_length():
    text = shown(f"key: not '{'x' * 5000}' in the file")
    assert text.startswith("key: not 'xxx")
    assert text.endswith("xxx' in the file")
    assert "...(5,002 characters)..." in text
    assert len(text) < LONGEST_WORD + 50


def test_many_words_are_cut_too():
    assert len(shown("word " * 10_000)) <= LONGEST_LINE


@pytest.mark.parametrize("filling", ["a", "a://", "?password", " ", "'", "\x1b"])
def test_a_text_of_millions_of_characters_takes_no_time(filling):
    text = filling * (3_000_000 // len(filling))
    assert len(shown(f"{text} postgresql://zoo:s3cret@host/db")) <= LONGEST_LINE
    assert "s3cret" not in shown(f"{text} postgresql://zoo:s3cret@host/db")


@given(HOSTILE)
def test_whatever_is_shown_is_one_line_of_valid_text(text):
    line = shown(text)
    assert line.encode().decode() == line
    assert len(line.splitlines()) <= 1
    assert shown(line) == line


@given(HOSTILE)
def test_what_is_visible_is_well_formed_in_xml(text):
    element = ET.Element("x")
    element.text = visible(text)
    assert ET.fromstring(ET.tostring(element)).text or not text


@given(st.text(max_size=200), st.integers(60, 150))
def test_shortened_text_is_as_long_as_it_may_be(text, longest):
    assert len(shortened(text, longest)) <= longest
    assert len(text) > longest or shortened(text, longest) == text


def test_lines_stay_lines():
    assert shown_lines("error: a\x1b\n  -> b\x00\n") == "error: a\\x1b\n  -> b\\x00"


def test_an_error_is_fit_to_be_shown_wherever_it_goes():
    error = CellError("first\nsecond\x1b[2J", where="x" * 5000, remedy="see tcp://u:s3@h")
    assert error.what == r"first second\x1b[2J"
    assert len(error.where) <= LONGEST_WORD
    assert error.remedy == "see tcp://u:***@h"


PYBIND = """compile_model(): incompatible function arguments. The following argument types are supported:
    1. (self: openvino._pyopenvino.Core, model: openvino._pyopenvino.Model, config: dict) -> object

Invoked with: <openvino._pyopenvino.Core object at 0x7f>, 5"""


@pytest.mark.parametrize(
    ("told", "described"),
    [
        (PYBIND, "ValueError: compile_model(): incompatible function arguments"),
        ("Exception from src/core.cpp:82:\nwhat it was\n", "ValueError: what it was"),
        ("", "ValueError"),
    ],
)
def test_of_a_library_s_error_its_type_and_one_line_are_told(told, described):
    assert errors.described(ValueError(told)) == described
    assert errors.unexpected(ValueError(told)).what == f"unexpected error: {described}"
