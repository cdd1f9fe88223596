"""In which layers a runtime's answers differ: known only where the baseline's release is at hand."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import openvino as ov
import pytest

from builders import accepted, cell_record, final, reference, trial
from quantize_zoo.config import GateConfig, Runtime
from quantize_zoo.gate.comparison import Terms
from quantize_zoo.gate.holding import GateRequest, _baseline_release, _between_releases


def request(openvino, *runtimes):
    """A comparison with a baseline that was accepted under a release."""
    known = reference()
    known = replace(known, environment=replace(known.environment, openvino=openvino))
    baseline = accepted(cell_record([trial(0, 0.0, 1.5)], final(0, 1.5), reference=known))
    return GateRequest(baseline, Path(), None, Path(), Terms(GateConfig(), 0.01, Path()), runtimes)


def test_answers_of_the_same_release_have_no_layers():
    asked = request(ov.get_version())
    found = _between_releases(SimpleNamespace(elsewhere=False), asked, lambda: _baseline_release(asked), Path(), ["a"])
    assert found.text == (
        f"layers are not compared: OpenVINO {ov.get_version()} is the release that the baseline was accepted with; "
        "what its layers computed then is not stored, only the answers are"
    )


@pytest.mark.parametrize("runtimes", [(), (Runtime(name="now", python=sys.executable),)], ids=["none", "another one"])
def test_without_the_baselines_release_only_its_answers_are_known(runtimes):
    asked = request("2020.1", *runtimes)
    found = _between_releases(SimpleNamespace(elsewhere=False), asked, lambda: _baseline_release(asked), Path(), ["a"])
    assert found.skipped == (
        "only the answers of OpenVINO 2020.1 are stored; an interpreter that has it, named under 'runtimes' of the "
        "matrix, would tell its layers"
    )


def test_an_interpreter_that_does_not_start_takes_no_check_away():
    asked = request("2020.1", Runtime(name="gone", python="/nowhere/python"))
    found = _between_releases(SimpleNamespace(elsewhere=False), asked, lambda: _baseline_release(asked), Path(), ["a"])
    assert "/nowhere/python" in found.skipped
