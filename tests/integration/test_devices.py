"""Devices as OpenVINO names them, instruction sets as targets, and devices that are not here."""

import json

import pytest
import yaml

from quantize_zoo.config import DeviceSpec
from quantize_zoo.scoring import available_instruction_sets


def run(small, quantize_zoo, devices, **matrix):
    content = {"models": ["net.yml"], "devices": devices, "portability": False, **matrix}
    small.path.write_text(yaml.safe_dump(content))
    small.edit("net.yml", lambda model: model["optimizer"]["params"].update(max_trials=2))
    status, out, err = quantize_zoo("run", small.path, "--reports", small.reports, "--json")
    return status, json.loads(out), err


@pytest.mark.release
def test_virtual_devices_and_plugin_properties_run_for_real(small, quantize_zoo):
    devices = [
        {"device": "AUTO:CPU", "inference_precision": "f32"},
        {"device": "HETERO:CPU", "inference_precision": "f32"},
        {"device": "CPU", "inference_precision": "f32", "device_config": {"ENABLE_CPU_PINNING": False}},
    ]
    status, document, err = run(small, quantize_zoo, devices)
    assert status == 0, err
    assert [cell["device"] for cell in document["cells"]] == [
        "AUTO:CPU[f32]",
        "HETERO:CPU[f32]",
        "CPU[f32,ENABLE_CPU_PINNING=False]",
    ]
    assert all(cell["final"]["latency"]["speedup"]["value"] > 0 for cell in document["cells"])
    accuracies = {cell["reference"]["accuracy"]["value"] for cell in document["cells"]}
    assert len(accuracies) == 1


def test_unknown_plugin_property_is_refused_before_anything_is_run(small, quantize_zoo):
    small.edit("matrix.yml", lambda matrix: matrix.update(devices=[{"device": "CPU", "device_config": {"NO_SUCH": 1}}]))
    status, out, err = quantize_zoo("run", small.path, "--reports", small.reports, "--json")
    assert (status, out) == (2, "")
    assert "NO_SUCH" in err


def test_instruction_set_is_that_of_the_cells_own_process(small, quantize_zoo, monkeypatch):
    """The lower set is really used: its kernels are in the report, and the machine's best ones in the other cell."""
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    devices = [{"device": "CPU", "isa": "AVX"}, {"device": "CPU", "inference_precision": "f32"}]
    status, document, err = run(small, quantize_zoo, devices)
    assert status == 0, err
    limited, free = document["cells"]
    assert (limited["device"], free["device"]) == ("CPU[AVX]", "CPU[f32]")
    assert limited["reference"]["environment"]["isa_limit"] == "AVX"
    assert free["reference"]["environment"]["isa_limit"] == ""
    assert limited["reference"]["execution"]["inference_precision"] == "f32"
    assert limited["reference"]["execution"]["kernels"]["sse"] > 5
    assert "sse" not in free["reference"]["execution"]["kernels"]


def test_instruction_set_that_this_cpu_lacks_is_unavailable(small, quantize_zoo):
    lacking = [name for name in ("AVX512_CORE_AMX", "AVX2_VNNI", "AVX512_CORE_FP16") if not _has(name)]
    if not lacking:
        pytest.skip("this CPU has every instruction set")
    status, document, _ = run(small, quantize_zoo, [{"device": "CPU", "isa": lacking[0]}])
    assert status == 0
    assert document["cells"][0]["verdict"]["status"] == "unavailable"
    assert f"this CPU has no {lacking[0]}; it has: " in document["cells"][0]["verdict"]["reason"]


def _has(name):
    return name in available_instruction_sets()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"device": "GPU", "isa": "AVX2"}, "isa limits a CPU: device must be CPU"),
        ({"device": "CPU", "isa": "AVX2", "inference_precision": "bf16"}, "isa needs inference_precision f32"),
        ({"device": "CPU", "isa": "AVX3"}, "unknown value 'AVX3'"),
        ({"device": "CPU", "models": ["nett"]}, "did you mean 'net'?"),
    ],
)
def test_wrong_device_is_told_with_its_line(small, quantize_zoo, device, message):
    small.path.write_text(yaml.safe_dump({"models": ["net.yml"], "devices": [device]}))
    status, _, err = quantize_zoo("check", small.path)
    assert status == 2
    assert "matrix.yml:" in err
    assert message in err


def test_device_that_is_not_here_is_scored_on_the_cpu_and_marked_everywhere(small, quantize_zoo):
    status, document, err = run(small, quantize_zoo, ["GPU"], on_missing_device="score_on_cpu")
    assert status == 0, err
    cell = document["cells"][0]
    assert cell["reference"]["scored_on"] == "CPU"
    assert cell["reference"]["identity"]["hardware configuration"].startswith("GPU ")
    assert cell["final"]["latency"] is None
    assert all(trial["latency_us"] is None for trial in cell["trials"])
    assert cell["verdict"]["reason"] == (
        "the accuracy target is met, scored on CPU; latency is not measured without the device"
    )
    latest = small.reports / "latest"
    page, summary = small.cell_page(), (latest / "summary.md").read_text()
    assert "in place of GPU: quantized for it, latency not measured" in page
    assert page.count("not measured") >= 3
    assert "| not measured | not measured | not measured |" in summary
    assert "not measured: the device is not here" in (latest / "junit.xml").read_text()
    assert "GPU is not here: quantized for it, accuracy scored on CPU" in err
    assert (latest / "models" / "net-GPU.xml").is_file()


def test_missing_device_fails_the_run_where_the_matrix_says_so(small, quantize_zoo):
    assert run(small, quantize_zoo, ["GPU.1"], on_missing_device="fail")[0] == 3
    assert run(small, quantize_zoo, ["NPU"], on_missing_device="skip")[0] == 0


def test_device_is_written_as_a_name_or_a_mapping():
    assert DeviceSpec.model_validate("GPU.1").label == "GPU.1"
    assert DeviceSpec.model_validate({"device": "CPU", "isa": "AVX2"}).inference_precision == "f32"
