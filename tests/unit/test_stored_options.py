"""An option is stored against its cell's base and read back as it was."""

import json
from dataclasses import replace

import pytest

from builders import option
from quantize_zoo.config import WeightCompression
from quantize_zoo.store.options import plain_option, read_option

BASE = option(0, 1, 2, 3, total=4)
WAYS = [
    WeightCompression(bits=8, mode="symmetric"),
    WeightCompression(bits=4, mode="asymmetric", group_size=64),
    WeightCompression(bits=4, mode="nf4"),
    None,
]


def compressed(*ways):
    """The base with its operations not quantized, their weights stored in these ways."""
    choices = zip(BASE.operations.items(), ways, strict=True)
    operations = {name: replace(choice, quantize=False, compressed_weights=way) for (name, choice), way in choices}
    return replace(BASE, operations=operations)


@pytest.mark.parametrize("base", [None, BASE])
@pytest.mark.parametrize(
    "stored", [BASE, compressed(*WAYS), compressed(*reversed(WAYS)), compressed(*[None] * 4)], ids=range(4)
)
def test_an_option_is_read_back_as_it_was(stored, base):
    text = json.dumps(plain_option(stored, base))
    assert read_option(json.loads(text), lambda: BASE, "trial") == stored
