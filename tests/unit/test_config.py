"""What the YAML files may say, and how each mistake is told."""

import re
from pathlib import Path

import pytest

from quantize_zoo.config import DeviceSpec, hardware_path, load_hardware, load_matrix, load_model_config
from quantize_zoo.errors import ConfigurationError

MODEL = """\
name: net
model: net.onnx
accuracy_checker: {models: []}
metric: accuracy
compression:
  algorithms:
    - name: TunableQuantization
      params: {tuning_scope: [layer]}
optimizer:
  params:
    max_trials: 5
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"")

    def write_file(text: str, name: str = "net.yml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_model_paths_are_relative_to_their_file(write, tmp_path):
    config = load_model_config(write(MODEL))
    assert config.model == tmp_path.resolve() / "net.onnx"
    assert config.optimizer.params.max_trials == 5
    assert config.compression.tunable.stat_subset_size == 300


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("max_trials: 5", "max_trails: 5"), 11, r"unknown key .*max_trails'.*did you mean 'max_trials'"),
        (("max_trials: 5", "max_trials: many"), 11, r"optimizer.params.max_trials: .*integer.*not 'many'"),
        (("max_trials: 5", "max_trials: 0"), 11, r"greater than 0, not 0"),
        (("max_trials: 5", "accuracy_loss: .inf"), 11, r"finite number"),
        (("name: net\n", ""), 1, r"key 'name' is missing"),
        (("metric: accuracy\n", "metric: accuracy\nmetric: map\n"), 5, r"key 'metric' appears twice"),
        (("[layer]", "[layers]"), 8, r"unknown value 'layers'.*did you mean 'layer'"),
        (("[layer]", "[range_estimator]"), 8, r"estimator_tuning_scope goes with range_estimator"),
        (("[layer]", "[]"), 8, r"at least one of bits, mode, granularity, layer, range_estimator"),
        (("{tuning_scope", "{presets: x, tuning_scope"), 8, r"unknown key.*did you mean 'preset'"),
        (("TunableQuantization", "Magic"), 7, r"unknown value 'Magic'.*known: .*TunableQuantization"),
        (("name: net", "name: ../net"), 1, r"pattern"),
        (("model: net.onnx", "model: other.onnx"), 2, r"no such file: .*other.onnx"),
        (("accuracy_checker: {models: []}", "accuracy_checker: 3"), 3, r"must be a path or"),
    ],
)  # fmt: skip
def test_mistake_is_told_with_file_line_and_remedy(write, change, line, message):
    path = write(MODEL.replace(*change))
    with pytest.raises(ConfigurationError) as caught:
        load_model_config(path)
    assert re.search(rf"{re.escape(path.name)}:{line}\b", caught.value.where)
    assert re.search(message, str(caught.value), re.DOTALL)
    assert caught.value.remedy


def test_yaml_syntax_error_names_its_line(write):
    with pytest.raises(ConfigurationError, match=r"net.yml:3: YAML syntax error"):
        load_model_config(write("name: net\nmodel: [unclosed\n"))


def test_control_character_is_a_yaml_error(write):
    with pytest.raises(ConfigurationError, match="YAML syntax error"):
        load_model_config(write("name: \x01"))


def test_empty_file_lacks_its_keys(write):
    with pytest.raises(ConfigurationError, match="key 'name' is missing"):
        load_model_config(write(""))


def test_binary_file_is_no_text(write, tmp_path):
    (tmp_path / "net.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load_model_config(tmp_path / "net.yml")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="no such file"):
        load_matrix(tmp_path / "absent.yml")


def test_matrix_loads_its_models(write):
    write(MODEL)
    matrix = load_matrix(
        write("models: [net.yml]\ndevices: [CPU, {device: CPU, inference_precision: f32}]\n", "all.yml")
    )
    assert [device.label for device in matrix.devices] == ["CPU", "CPU[f32]"]
    assert matrix.on_missing_device == "skip"


def test_matrix_names_the_line_of_a_missing_model(write):
    path = write("devices: [CPU]\nmodels:\n  - absent.yml\n", "all.yml")
    with pytest.raises(ConfigurationError, match=r"all.yml:3: no such file"):
        load_matrix(path)


def test_two_models_of_one_name_are_refused(write):
    write(MODEL)
    with pytest.raises(ConfigurationError, match="two models are named 'net'"):
        load_matrix(write("models: [net.yml, net.yml]\ndevices: [CPU]\n", "all.yml"))


@pytest.mark.parametrize(
    ("waiver", "message"),
    [
        ("cell: nett-CPU, check: latency", r"waivers.0.cell: unknown value 'nett-CPU'\n.*did you mean 'net-CPU'"),
        ("cell: net-CPU, check: search latncy", r"waivers.0.check: .*'search latncy'\n.*did you mean 'search latency'"),
        ("cell: net-CPU, check: runtime size", r"waivers.0.check: unknown value 'runtime size'"),
    ],
)
def test_a_waiver_of_nothing_is_refused_with_the_nearest_name(write, waiver, message):
    write(MODEL)
    text = "models: [net.yml]\ndevices: [CPU]\nwaivers:\n  - {%s, reason: x, until: 2999-01-01}\n"
    with pytest.raises(ConfigurationError, match=rf"all.yml:4: {message}"):
        load_matrix(write(text % waiver, "all.yml"))


@pytest.mark.parametrize("cell", ["net-CPU", "net-CPU@AMD-EPYC"])
@pytest.mark.parametrize("check", ["latency", "compile time", "search compile time", "model accuracy"])
def test_a_waiver_of_a_cell_and_a_check_is_taken(write, cell, check):
    """Also of a cell on one CPU model of a cluster, which only the cluster knows."""
    write(MODEL)
    text = "models: [net.yml]\ndevices: [CPU]\nwaivers:\n  - {cell: '%s', check: %s, reason: x, until: 2999-01-01}\n"
    assert load_matrix(write(text % (cell, check), "all.yml")).waivers[0].check == check


def test_single_model_is_a_matrix_on_its_target_device(write):
    matrix = load_matrix(write(MODEL))
    assert [model.name for model in matrix.models] == ["net"]
    assert matrix.devices == (DeviceSpec(device="CPU"),)


def test_selection_by_command_line(write):
    write(MODEL)
    matrix = load_matrix(write("models: [net.yml]\ndevices: [CPU, GPU]\n", "all.yml"))
    assert [device.label for device in matrix.select(["net"], ["GPU.1"]).devices] == ["GPU.1"]
    assert matrix.select([], []) == matrix
    with pytest.raises(ConfigurationError, match="did you mean 'net'"):
        matrix.select(["nets"], [])


def test_command_line_changes_every_model(write):
    write(MODEL)
    matrix = load_matrix(write("models: [net.yml]\ndevices: [CPU]\n", "all.yml"))
    changed = matrix.with_optimizer({"max_trials": 2})
    assert changed.models[0].optimizer.params.max_trials == 2
    assert matrix.models[0].optimizer.params.max_trials == 5


@pytest.mark.parametrize("target", ["CPU", "GPU"])
def test_shipped_hardware_configuration_lists_symmetric_first(target):
    hardware = load_hardware(hardware_path(target))
    assert hardware.target == target
    rule = hardware.rule("Convolution")
    assert rule.activations[0].mode == rule.weights[0].mode == "symmetric"
    assert rule.weights[0].levels(weights=True) == 255
    assert rule.activations[0].levels(weights=False) == 256
    assert hardware.rule("Softmax") is None
