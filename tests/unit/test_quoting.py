"""Texts stay texts, whichever YAML their reader knows."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from quantize_zoo.text.from_yaml import parse_yaml
from quantize_zoo.text.quoting import quoted, yaml_of


@pytest.mark.parametrize(
    "text", ["1e5", "0o17", "1_000", "yes", "no", "null", "~", "12:30", "1.", ".5", "2026-11-26", "0x1F", ""]
)
def test_a_text_that_looks_like_something_else_is_written_as_a_text(text):
    assert_kept({"model": text, text: [text]})


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufeff"), max_size=200))
def test_any_text_is_kept(text):
    assert_kept({"model": text})


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=200))
def test_any_text_is_kept_by_the_line(text):
    assert parse_yaml(f"key: {quoted(text)}").data == {"key": text}


def test_numbers_and_truths_stay_what_they_are():
    assert_kept({"trial": 5, "loss": 0.25, "tiny": 1e-9, "valid": True, "none": None, "list": [1, 2.5], "empty": {}})


def assert_kept(values):
    written = yaml_of(values)
    assert yaml.safe_load(written) == values  # YAML 1.1
    assert YAML(typ="safe").load(written) == values  # YAML 1.2
    assert parse_yaml(written).data == values
