"""The best model of a cell in other environments: really played, within the time of ten trials."""

import json

import pytest
import yaml


def run(small, quantize_zoo, device, **matrix):
    small.path.write_text(yaml.safe_dump({"models": ["net.yml"], "devices": [device], **matrix}))
    status, out, err = quantize_zoo("run", small.path, "--reports", small.reports, "--json")
    assert status == 0, err
    return json.loads(out)["cells"][0]


def test_it_is_scored_in_each_set_below_the_machines_own(small, quantize_zoo):
    """Tests are held to AVX2, so that there are two on every machine; f32 is the cell's own."""
    # Trials long enough for both.
    small.edit("net.yml", lambda model: model["optimizer"]["params"]["benchmark"].update(duration_seconds=1))
    cell = run(small, quantize_zoo, {"device": "CPU", "inference_precision": "f32"})
    found = cell["final"]["portability"]
    assert [each["environment"] for each in found] == ["CPU[AVX]", "CPU[SSE41]"]
    trials = sum(
        each["build_s"] + each["compile_s"] + each["accuracy_s"] + each["latency_s"] for each in cell["trials"]
    )
    assert sum(each["seconds"] for each in found) <= 10 * trials + 5
    played = [each for each in found if not each["skipped"]]
    for each in played:
        assert each["precision"] == "f32"
        assert each["fp32"]["value"] == pytest.approx(cell["reference"]["accuracy"]["value"], abs=0.02)
        assert each["holdout"]["accuracy_loss_share"]["low"] is not None
        assert each["latency"]["speedup"]["value"] > 0
    assert played or all("ten trials" in each["skipped"] for each in found)
    assert "In other environments" in small.cell_page()
