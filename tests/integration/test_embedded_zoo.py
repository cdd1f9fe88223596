"""Every embedded model in the shapes that its YAML pins: OpenVINO compiles and runs all that a search makes of it."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from matrices import session_of
from quantize_zoo.config import DeviceSpec, load_matrix
from quantize_zoo.matrix import expand
from quantize_zoo.search import Known
from zoo import with_all_instructions

MATRIX = Path(__file__).parents[2] / "model_zoo_configs" / "embedded.yml"


def calibrate_all():
    cells = [cell for cell in expand(load_matrix(MATRIX)) if cell.target.label == "CPU"]
    assert len(cells) == 10
    for cell in cells:
        with tempfile.TemporaryDirectory() as folder:
            f32 = DeviceSpec(device="CPU", inference_precision="f32")
            session = session_of(replace(cell, device=f32), Path(folder))
            prepared = session.prepare()
            found = session.calibrate(prepared.base)
            assert found.errors.keys() <= {operation.name for operation in prepared.placement.operations}
            assert any(error > 0 for error in found.errors.values())
            evaluation = session.evaluate(prepared.base, Known(), prune=False, measure=False)
            assert evaluation.scored.accuracy.value > 0


@pytest.mark.release
def test_bases_are_calibrated_and_scored_with_all_instructions_of_the_cpu():
    """OpenVINO 2026.4 ended by SIGSEGV on CPUs with VNNI where it compiled the sensitivity of the transformers."""
    with_all_instructions("integration.test_embedded_zoo", "calibrate_all")
