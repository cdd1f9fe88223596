"""File names out of any text."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantize_zoo.config import ModelConfig
from quantize_zoo.text.slugs import model_slug, slug

# What a hostile matrix or command line has in it, and what differs in one character only.
NAMES = st.text(st.sampled_from("ab-./\\ :\n\x00é%-[]@=,+_"), max_size=200) | st.text(max_size=200)


@pytest.mark.parametrize("name", ["net-CPU", "net-CPU[f32]@Another-CPU", "a_b.c", "net-CPU[a=1,b=2+]", "x" * 120])
def test_harmless_names_stay(name):
    assert slug(name) == name


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "", ".", "..", "-rf", "a\nb", "x" * 121, ".hidden", "a/b", "\ud800"]
)
def test_other_names_are_marked(name):
    assert re.search(r"(^|-)[0-9a-f]{8}$", slug(name))


@given(NAMES)
@example("/" * 500)
def test_every_slug_is_a_safe_file_name(name):
    assert re.fullmatch(r"[A-Za-z0-9_@=,+\[\]][A-Za-z0-9._@=,+\[\]-]{0,119}", slug(name))


@given(st.sets(NAMES, min_size=2, max_size=20))
def test_no_two_texts_have_one_slug(names):
    assert len({slug(name) for name in names}) == len(names)


@given(NAMES)
def test_the_slug_of_a_slug_is_another_one_where_it_was_marked(name):
    """Else a cell could be called as the slug of another one, and take its page."""
    assert slug(name) == name or slug(slug(name)) != slug(name)


@given(st.text() | st.from_regex(r"[@a\[_.-]{1,5}", fullmatch=True))
def test_every_models_name_is_one_that_a_models_yaml_takes(name):
    assert ModelConfig(name=model_slug(name), model="omz:x").name == model_slug(name)


@pytest.mark.parametrize("name", ["my model", "a@b", "@x", "[{}]", "_a", "a+b=c,d", ""])
def test_a_name_that_no_models_yaml_takes_gets_a_mark(name):
    assert re.fullmatch(r"[A-Za-z0-9._-]*-?[0-9a-f]{8}", model_slug(name))
    assert model_slug("net-1.0_a") == "net-1.0_a"
