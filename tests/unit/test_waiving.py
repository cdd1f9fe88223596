"""``waive``: a waiver in the matrix, whose comments and order stay."""

from datetime import date

import pytest

from quantize_zoo.commands.places import matrix_at
from quantize_zoo.text.from_yaml import parse_yaml

MATRIX = """\
# what the release team watches
models:
  - {model}   # the fast one
devices:
  - CPU
gate: {{max_size_increase: 0.1}}  # in one line
"""


@pytest.fixture
def matrix(tmp_path, zoo):
    path = tmp_path / "matrix.yml"
    path.write_text(MATRIX.format(model=zoo / "embedded" / "digits-resnet.yml"))
    return path


def waive(
    quantize_zoo, matrix, cell="digits-resnet-CPU", check="search latency", until="2026-12-31", reason="ticket 7"
):
    return quantize_zoo("waive", cell, check, "--until", until, "--reason", reason, "--matrix", matrix)


def test_waiver_is_written_and_all_else_stays(quantize_zoo, matrix):
    before = matrix.read_text()
    assert waive(quantize_zoo, matrix)[0] == 0
    text = matrix.read_text()
    assert text.startswith(before)
    assert waive(quantize_zoo, matrix, check="accuracy", reason="known: #8")[0] == 0
    first, second = matrix_at(matrix, [], [], {}).waivers
    assert (first.cell, first.check, first.reason, first.until) == (
        "digits-resnet-CPU", "search latency", "ticket 7", date(2026, 12, 31),
    )  # fmt: skip
    assert second.reason == "known: #8"


def test_waiver_of_the_same_check_is_replaced(quantize_zoo, matrix):
    for until in ("2026-12-31", "2027-01-31"):
        assert waive(quantize_zoo, matrix, until=until)[0] == 0
    (waiver,) = matrix_at(matrix, [], [], {}).waivers
    assert waiver.until == date(2027, 1, 31)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "digits-resnet-CPUU"}, "there is no cell 'digits-resnet-CPUU'"),
        ({"check": "serch latency"}, "did you mean 'search latency'"),
        ({"until": "tomorrow"}, "tomorrow"),
        ({"reason": " "}, "a waiver has a reason"),
    ],
)
def test_wrong_waiver_is_refused_and_nothing_is_written(change, message, quantize_zoo, matrix):
    before = matrix.read_text()
    status, _, err = waive(quantize_zoo, matrix, **change)
    assert status == 2
    assert message in err
    assert matrix.read_text() == before


def test_one_models_yaml_is_no_matrix(quantize_zoo, tmp_path, zoo):
    status, _, err = waive(quantize_zoo, zoo / "embedded" / "digits-resnet.yml")
    assert status == 2
    assert "it is no matrix" in err


@pytest.mark.parametrize(
    "line",
    [
        "x-known: &x {cell: digits-resnet-CPU, check: size, reason: 2024-02-31, until: 2999-01-01}",
        "waivers: [{cell: digits-resnet-CPU, check: size, reason: 010, until: 2999-01-01}]",
        "waivers: [{cell: digits-resnet-CPU, check: size, reason: 2024-02-31, until: 2999-01-01}]",
        "waivers: [{cell: digits-resnet-CPU, check: size, reason: 0x_, until: 2999-01-01}]",
        "waivers: [{cell: digits-resnet-CPU, check: size, reason: '\\e', until: 2999-01-01}]",
    ],
)
def test_a_waiver_is_added_so_that_all_else_reads_as_before_or_not_at_all(quantize_zoo, matrix, line):
    """What reads, here or elsewhere, as a number or a date without quotes."""
    matrix.write_text(matrix.read_text() + line + "\n")
    before = matrix.read_text()
    status, _, err = waive(quantize_zoo, matrix)
    if status == 0:
        old, new = parse_yaml(before).data, parse_yaml(matrix.read_text()).data
        assert new == {**old, "waivers": [*old["waivers"], new["waivers"][-1]]}
    else:
        assert (status, matrix.read_text()) == (2, before)
        assert "unknown key 'x-known'" in err or "add it by hand" in err
