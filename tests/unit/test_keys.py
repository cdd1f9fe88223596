"""Names of cells: one value makes them all, no two cells share one, and any text is a safe file name."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from quantize_zoo.config import CellKey, DeviceSpec, load_matrix
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.matrix import expand
from quantize_zoo.text.slugs import LONGEST, slug


@pytest.mark.parametrize(
    ("device", "label"),
    [
        ("CPU", "CPU"),
        ({"device": "CPU", "isa": "AVX2"}, "CPU[AVX2]"),
        ({"device": "CPU", "inference_precision": "f32"}, "CPU[f32]"),
        ({"device": "AUTO:CPU", "device_config": {"ENABLE_CPU_PINNING": False}}, "AUTO:CPU[ENABLE_CPU_PINNING=False]"),
        (
            {"device": "CPU", "inference_precision": "bf16", "device_config": {"NUM_STREAMS": 2, "A": "b"}},
            "CPU[bf16,A=b,NUM_STREAMS=2]",
        ),
    ],
)
def test_label_names_all_that_was_asked_of_a_device(device, label):
    spec = DeviceSpec.model_validate(device)
    assert spec.label == label
    assert spec.key("net").label == f"net-{label}"
    assert spec.key("net", "AMD EPYC (x)").label == f"net-{label}@AMD-EPYC-x"


def matrix(folder, zoo, devices):
    path = folder / "matrix.yml"
    models = [str(zoo / "embedded" / f"{name}.yml") for name in ("digits-resnet", "digits-mobilenet")]
    path.write_text(yaml.safe_dump({"models": models, "devices": devices}, default_flow_style=None, sort_keys=False))
    return path


@pytest.mark.parametrize(
    "twin", [{"device": "CPU"}, {"device": "CPU", "models": ["digits-resnet"]}, {"device": "CPU", "device_config": {}}]
)
def test_two_devices_that_make_one_cell_are_refused_with_both_lines(tmp_path, zoo, twin):
    path = matrix(tmp_path, zoo, ["CPU", "GPU", twin])
    lines = path.read_text().splitlines()
    with pytest.raises(ConfigurationError) as refused:
        load_matrix(path)
    (devices,) = (number for number, line in enumerate(lines, 1) if line.startswith("devices"))
    assert str(refused.value).count(f"{path}:{devices}") == 2 or str(refused.value).count(f"{path}:") == 2
    assert "digits-resnet-CPU" in str(refused.value)


def test_devices_that_differ_in_properties_or_precision_are_cells_of_their_own(tmp_path, zoo):
    f32 = {"INFERENCE_PRECISION_HINT": "f32"}
    devices = ["CPU", {"device": "CPU", "device_config": f32}, {"device": "CPU", "inference_precision": "f32"}]
    cells = expand(load_matrix(matrix(tmp_path, zoo, devices)))
    assert len({cell.key.label for cell in cells}) == len({cell.key.slug for cell in cells}) == 6


def test_one_device_for_one_model_and_again_for_another_is_no_twin(tmp_path, zoo):
    devices = [{"device": "CPU", "models": [name]} for name in ("digits-resnet", "digits-mobilenet")]
    assert len(expand(load_matrix(matrix(tmp_path, zoo, devices)))) == 2


def test_names_of_the_command_line_cannot_make_two_cells_one(zoo):
    loaded = load_matrix(zoo / "embedded" / "digits-resnet.yml")
    twins = (DeviceSpec(device="CPU[f32]"), DeviceSpec(device="CPU", inference_precision="f32"))
    with pytest.raises(ConfigurationError, match="the same cell"):
        expand(loaded.model_copy(update={"devices": twins}))


@pytest.mark.parametrize(
    ("asked", "labels"),
    [
        ("CPU", ["CPU"]),
        ("CPU[AVX2]", ["CPU[AVX2]"]),
        ("AUTO:CPU", ["AUTO:CPU[A=1]"]),
        ("CPU[AVX2]@AMD-EPYC", ["CPU[AVX2]"]),
        ("NPU", ["NPU"]),
    ],
)
def test_a_device_is_chosen_by_its_label_or_by_its_name(tmp_path, zoo, asked, labels):
    devices = ["CPU", {"device": "CPU", "isa": "AVX2"}, {"device": "AUTO:CPU", "device_config": {"A": 1}}]
    chosen = load_matrix(matrix(tmp_path, zoo, devices)).select([], [asked, asked])
    assert [device.label for device in chosen.devices] == labels


@given(st.text(), st.text())
def test_no_two_texts_have_one_file_name(first, second):
    assert (slug(first) == slug(second)) == (first == second)


@given(st.text(max_size=500))
def test_any_text_is_a_safe_file_name(text):
    name = slug(text)
    assert 0 < len(name.encode()) <= LONGEST
    assert not name.startswith((".", "-"))
    assert not set(name) & set('/\\:*?"<>|\n\r\t\0 ')
    assert slug(slug(text)) == slug(text) or slug(text) != text


@pytest.mark.parametrize("name", ["digits-resnet-CPU", "digits-resnet-CPU[AVX2]", "net-CPU[f32,A=1]@AMD-EPYC-7B13"])
def test_a_usual_name_is_its_own_file_name(name):
    assert slug(name) == name


def test_a_name_that_looks_like_anothers_file_name_gets_one_of_its_own():
    made = slug("net-AUTO:CPU")
    assert slug(made) != made


def test_a_key_says_whether_it_is_another_cell():
    key = CellKey("net", "CPU")
    assert key == CellKey("net", "CPU", ())
    assert key != CellKey("net", "CPU", isa="AVX2", precision="f32")
