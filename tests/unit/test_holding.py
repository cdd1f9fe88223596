"""What a check says where the calibration samples are others: a loss is the data's, and wakes nobody."""

from types import SimpleNamespace

import pytest

from quantize_zoo.gate import Check
from quantize_zoo.gate.holding import _of_other_calibration

OTHERS = SimpleNamespace(calibration="9 of 30 calibration samples are others")
SAME = SimpleNamespace(calibration="")


@pytest.mark.parametrize("cause", ["quantization", "search"])
def test_a_loss_of_other_calibration_samples_is_one_of_the_data(cause):
    check = Check(cause, "accuracy", "the model", "regressed", "mae loses 1.56 %")
    found = _of_other_calibration(check, OTHERS)
    assert (found.status, found.why) == ("data-changed", OTHERS.calibration)
    assert _of_other_calibration(check, SAME) is check


@pytest.mark.parametrize(
    ("quantity", "status"), [("latency", "regressed"), ("accuracy", "pass"), ("accuracy", "failed")]
)
def test_everything_else_stays_what_it_is(quantity, status):
    check = Check("quantization", quantity, "the model", status, "")
    assert _of_other_calibration(check, OTHERS) is check
