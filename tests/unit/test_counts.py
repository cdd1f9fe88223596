"""Counts in words."""

import pytest

from quantize_zoo.text.counts import counted


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 layers"), (1, "1 layer"), (2, "2 layers"), ([], "0 layers"), (["a"], "1 layer")]
)
def test_a_noun_is_in_the_number_of_its_count(count, text):
    assert counted(count, "layer") == text
