"""What docs/limits.md says is what is."""

import re
from pathlib import Path

import pytest

from quantize_zoo.config import OptimizerParams
from quantize_zoo.config.compression import BiasCorrectionParams, TunableQuantizationParams
from quantize_zoo.config.estimators import MaxParams, TensorParams
from quantize_zoo.config.gate import GateConfig
from quantize_zoo.config.matrix import MatrixFile
from quantize_zoo.config.model import BenchmarkParams, MetricBaseline, ModelConfig
from quantize_zoo.text.documents import DEEPEST, INTEGER_BITS, LARGEST_TEXT, MOST_VALUES

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "limits.md").read_text()
OWNERS = (
    OptimizerParams, BenchmarkParams, MetricBaseline, GateConfig, MatrixFile, MaxParams, TensorParams,
    BiasCorrectionParams, TunableQuantizationParams, ModelConfig,
)  # fmt: skip
NUMBERS = DOCUMENT.split("## Numbers")[1].split("##")[0]
ROWS = [
    (name, row)
    for row in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \|$", NUMBERS, re.MULTILINE)
    for name in re.findall(r"`(\w+)`", row[0])
]


def test_limits_of_texts():
    assert f"| {LARGEST_TEXT:,} bytes on |" in DOCUMENT
    assert f"| {DEEPEST} levels on |" in DOCUMENT
    assert f"| {MOST_VALUES:,} on |" in DOCUMENT
    assert f"| {INTEGER_BITS} bits on |" in DOCUMENT


@pytest.mark.parametrize(("name", "row"), [row for row in ROWS if row[0] != "input_shapes"])
def test_ranges_of_numbers(name, row):
    low, high = bounds(next(owner for owner in OWNERS if name in owner.model_fields).model_json_schema(), name)
    assert (number(row[1]), number(row[2])) == (low, high)


def test_every_number_stands_in_the_table():
    named = {name for name, _ in ROWS}
    numbers = {
        name for owner in OWNERS for name in owner.model_fields if bounds(owner.model_json_schema(), name) is not None
    }
    percents = {name for name in GateConfig.model_fields if name.startswith("max_")}
    assert numbers - percents - {"input_memory_mb"} <= named


def bounds(schema, name):
    found = schema["properties"].get(name, {})
    node = next((each for each in [found, *found.get("anyOf", [])] if each.get("type") in ("integer", "number")), None)
    if node is None:
        return None
    low, high = node.get("minimum", node.get("exclusiveMinimum")), node.get("maximum", node.get("exclusiveMaximum"))
    return (1 if node["type"] == "integer" and "exclusiveMinimum" in node else low), high


def number(text):
    return float(re.sub(r",|\(.*\)|above|below", "", text))
