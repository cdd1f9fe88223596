"""What the YAML files may say, and how each mistake is told."""

import json
import re
import time
from pathlib import Path

import pytest

from quantize_zoo.config import DeviceSpec, hardware_path, load_hardware, load_matrix, load_model_config
from quantize_zoo.config.devices import devices_below
from quantize_zoo.config.json_schema import schema_text
from quantize_zoo.config.operation_types import COMPRESSIBLE
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.graph.operations import WEIGHTED

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


def test_values_that_do_not_go_together_are_told_without_all_of_them(write):
    second = "    - name: ActivationChannelAlignment\n"
    with pytest.raises(ConfigurationError, match=r"net\.yml:5: compression: algorithms must be in this") as raised:
        load_model_config(write(MODEL.replace("optimizer:\n", f"{second}optimizer:\n")))
    assert "{" not in str(raised.value)


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


def test_empty_file_is_told(write):
    with pytest.raises(ConfigurationError, match="the file is empty"):
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


def test_two_waivers_of_one_check_are_refused(write):
    write(MODEL)
    waiver = "{cell: net-CPU, check: latency, reason: x, until: 2999-01-01}"
    with pytest.raises(ConfigurationError, match=r"all.yml:5: waivers.1: latency of net-CPU is named twice"):
        load_matrix(write(f"models: [net.yml]\ndevices: [CPU]\nwaivers:\n  - {waiver}\n  - {waiver}\n", "all.yml"))


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


@pytest.mark.parametrize("target", ["CPU", "GPU", "NPU"])
def test_shipped_hardware_configuration_is_read(target):
    assert load_hardware(hardware_path(target)).target == target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[MatMul]", "[Matmul]"), r"hard.yml:3: operations.0.types: unknown value 'Matmul'\n.*did you mean 'MatMul'"),
        (("[MaxPool]", "[Maxpool]"), r"hard.yml:5: quantize_agnostic: unknown value 'Maxpool'"),
        (("[Concat]", "[Concatenation]"), r"hard.yml:6: unified_scales: unknown value 'Concatenation'"),
        (("[MatMul]", "[MatMul, Add, MatMul]"), r"hard.yml:3: operations.0.types: MatMul is named twice"),
    ],
)
def test_a_type_that_no_operation_has_or_a_second_rule_is_refused(write, change, message):
    text = (
        "target: CPU\noperations:\n"
        "  - types: [MatMul]\n    activations: [{bits: 8, mode: symmetric, granularity: pertensor}]\n"
        "quantize_agnostic: [MaxPool]\nunified_scales: [Concat]\n"
    )
    assert load_hardware(write(text, "hard.yml")).rule("MatMul")
    with pytest.raises(ConfigurationError, match=message):
        load_hardware(write(text.replace(*change), "hard.yml"))


@pytest.mark.parametrize("kind", ["Relu", "Add", "LSTMSequence", "Gather"])
def test_compressed_weights_of_what_has_none_are_refused(write, kind):
    text = (
        "target: CPU\noperations:\n"
        "  - types: [MatMul]\n    activations: [{bits: 8, mode: symmetric, granularity: pertensor}]\n"
        "    compressed_weights: [{bits: 4, mode: symmetric}]\n"
    )
    assert load_hardware(write(text, "hard.yml")).rule("MatMul").compressed_weights
    message = rf"hard.yml:5: operations.0.compressed_weights: no {kind} has weights.*\n.*types that have: .*MatMul"
    with pytest.raises(ConfigurationError, match=message):
        load_hardware(write(text.replace("[MatMul]", f"[MatMul, {kind}]"), "hard.yml"))


def test_types_with_compressed_weights_are_those_with_one_constant():
    assert WEIGHTED | {"Embedding"} == COMPRESSIBLE


@pytest.mark.parametrize("target", ["CPU", "GPU"])
def test_shipped_hardware_configuration_lists_symmetric_first(target):
    hardware = load_hardware(hardware_path(target))
    assert hardware.target == target
    rule = hardware.rule("Convolution")
    assert rule.activations[0].mode == rule.weights[0].mode == "symmetric"
    assert rule.weights[0].levels(weights=True) == 255
    assert rule.activations[0].levels(weights=False) == 256
    assert hardware.rule("Softmax") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("max_trials: 5", 'max_trials: "5"'), "valid integer, not '5'"),
        (("max_trials: 5", "max_trials: true"), "valid integer, not True"),
        (("max_trials: 5", "max_trials: 5.0"), r"valid integer, not 5\.0"),
        (("max_trials: 5", "max_trials: 010"), "valid integer, not '010'"),
        (("max_trials: 5", "max_trials: 1:30"), "valid integer, not '1:30'"),
        (("max_trials: 5", "max_trials: !!int abc"), "'abc' is no !!int"),
        (("max_trials: 5", "max_trials: 1000001"), "less than or equal to 1000000"),
        (("max_trials: 5", "max_trials: " + "9" * 31), "a whole number of 31 digits"),
        (("max_trials: 5", "max_minutes: .inf"), "write a finite number"),
        (("max_trials: 5", "max_minutes: 1e300"), "less than or equal to 525600"),
        (("max_trials: 5", "accuracy_weight: 1e300"), "less than or equal to 1000000"),
        (("max_trials: 5", "latency_reduce: 1e-320"), r"greater than or equal to 0\.0001"),
        (("max_trials: 5", "stop_on_target: 1"), "valid boolean, not 1"),
        (("max_trials: 5", "benchmark: {batch_size: 100000}"), "less than or equal to 65536"),
        (("max_trials: 5", "benchmark: {nthreads: 100000}"), "less than or equal to 4096"),
        (("max_trials: 5", "benchmark: {duration_seconds: 1e9}"), "less than or equal to 3600"),
        (("max_trials: 5", "metrics: [{name: accuracy, baseline_value: -1}]"), r"or equal to 0\.000000001"),
        (("metric: accuracy", "input_shapes: {x: [1, 0]}"), r"at least one element, or is dynamic \(-1\), not 0"),
        (("metric: accuracy", "metric: 2024"), "valid string"),
        (("tuning_scope: [layer]", "weights: {bits: 9}"), "less than or equal to 8"),
        (
            ("tuning_scope: [layer]", "range_estimator: {max: {clipping_value: 1e39}}"),
            "less than or equal to 10{30},",
        ),
        (("  algorithms:", "  target_device: ''\n  algorithms:"), "target_device: OpenVINO has no device ''"),
        (("  algorithms:", "  target_device: cpu\n  algorithms:"), "'cpu'\n  -> did you mean 'CPU'"),
        (("  algorithms:", "  hardware: net.yml\n  algorithms:"), "net.yml:6: .*net.yml:1: this is a model"),
        (("model: net.onnx", f"model: {'x' * 300}"), "no such file"),
        (("metric: accuracy", "paths: {source: nowhere}"), "net.yml:4: paths.source: no such file: .*nowhere"),
        (("model: net.onnx", r'model: "net\0.onnx"'), r"character U\+0000 in a text"),
    ],
    ids=lambda value: value[1][-40:] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_values_beyond_what_makes_sense_are_refused(write, change, message):
    with pytest.raises(ConfigurationError, match=message):
        load_matrix(write(MODEL.replace(*change)))


@pytest.mark.parametrize("name", ["model", "matrix"])
def test_every_number_of_a_file_has_a_range_in_the_json_schema(name):
    unbounded = [path for path, node in nodes(json.loads(schema_text(name))) if is_unbounded_number(node)]
    assert unbounded == []


def nodes(node, at=""):
    if isinstance(node, dict):
        yield at, node
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from nodes(value, f"{at}/{key}")


def is_unbounded_number(node):
    is_number = node.get("type") in ("integer", "number")
    bounded = node.keys() & {"minimum", "exclusiveMinimum"} and node.keys() & {"maximum", "exclusiveMaximum"}
    return is_number and not bounded


@pytest.mark.parametrize("until", ["0", "'0'", "1e9", "2999-02-30", "tomorrow", "null"])
def test_a_waiver_ends_on_a_day(write, until):
    write(MODEL)
    text = (
        f"models: [net.yml]\ndevices: [CPU]\nwaivers:\n  - {{cell: net-CPU, check: size, reason: x, until: {until}}}\n"
    )
    with pytest.raises(ConfigurationError, match=r"all.yml:4: waivers.0.until: "):
        load_matrix(write(text, "all.yml"))


@pytest.mark.parametrize(
    ("device", "part", "nearest"),
    [
        ("CPU.0", "CPU.0", "CPU"),
        ("CPPU", "CPPU", "CPU"),
        ("cpu", "cpu", "CPU"),
        ("gpu.1", "gpu.1", "GPU"),
        ("AUTO:CPU,NOPE", "NOPE", ""),
        ("HETERO:CPU,", "", ""),
        ("CPU:GPU", "CPU:GPU", ""),
        ("AUTO:AUTO", "AUTO", "AUTO"),
        ("@x", "@x", ""),
        ("", "", ""),
        ("CPU[f32]", "CPU[f32]", ""),
        ("CPU\n", "CPU\n", "CPU"),
    ],
)
def test_a_device_that_no_plugin_has_by_name_is_a_mistake(write, device, part, nearest):
    write(MODEL)
    path = write(f"models: [net.yml]\ndevices:\n  - {json.dumps(device)}\n", "all.yml")
    message = "at least 1 character" if not device else re.escape(f"OpenVINO has no device {part!r}")
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_matrix(path)
    assert caught.value.where.startswith(f"{path}:3")
    assert f"did you mean {nearest!r}" in caught.value.remedy if nearest else True
    good = load_matrix(write("models: [net.yml]\ndevices: [CPU]\n", "all.yml"))
    with pytest.raises(ConfigurationError, match=re.escape(f"--devices: OpenVINO has no device {part!r}")):
        good.select([], [device])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("references: [nncf, nncf]", "references.1: nncf is named twice"),
        ("runtimes: [{name: a, python: python}, {name: a, python: python}]", "runtimes.1: a is named twice"),
        ("retention: {keep_nights: [9]}", "retention.keep_nights: "),
    ],
)
def test_what_is_named_twice_or_is_of_another_type_is_told_by_its_key(write, text, told):
    write(MODEL)
    write("", "python").chmod(0o755)
    with pytest.raises(ConfigurationError, match=re.escape(f"all.yml:3: {told}")):
        load_matrix(write(f"models: [net.yml]\ndevices: [CPU]\n{text}\n", "all.yml"))


@pytest.mark.parametrize("value", ["[1]", "null", "{a: 1}"])
def test_a_value_that_may_be_of_several_types_is_told_by_its_key_alone(write, value):
    write(MODEL)
    devices = f"[{{device: CPU, device_config: {{NUM_STREAMS: {value}}}}}]"
    with pytest.raises(ConfigurationError, match=r"devices\.0\.device_config\.NUM_STREAMS: input"):
        load_matrix(write(f"models: [net.yml]\ndevices: {devices}\n", "all.yml"))


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("MULTI:CPU,CPU", "lists CPU more than once"),
        ("AUTO:-GPU.0,CPU,GPU.0", "lists GPU.0 more than once"),
        ("HETERO", "lists no device"),
        ("MULTI:", "lists no device"),
        ("BATCH:CPU,GPU", "lists more than one device"),
    ],
)
def test_a_device_that_lists_others_as_no_machine_takes_them_is_a_mistake(write, device, problem):
    write(MODEL)
    with pytest.raises(ConfigurationError, match=re.escape(f"device {device!r} {problem}")):
        load_matrix(write(f"models: [net.yml]\ndevices: ['{device}']\n", "all.yml"))
    with pytest.raises(ConfigurationError, match=re.escape(f"device {device!r} {problem}")):
        load_matrix(write(MODEL.replace("  algorithms:", f"  target_device: '{device}'\n  algorithms:")))


@pytest.mark.parametrize("device", ["AUTO", "AUTO:-GPU", "MULTI:GPU(4),CPU", "BATCH:CPU(8)", "HETERO:GPU.1,GPU.0"])
def test_a_device_that_some_machine_takes_is_none(write, device):
    write(MODEL)
    assert load_matrix(write(f"models: [net.yml]\ndevices: ['{device}']\n", "all.yml")).devices[0].device == device


@pytest.mark.parametrize(
    ("device", "below"),
    [
        ("GPU.1", ("GPU.1",)),
        ("NPU.3720", ("NPU.3720",)),
        ("AUTO", ()),
        ("AUTO:-CPU", ()),
        ("AUTO:GPU,-CPU,NPU", ("GPU", "NPU")),
        ("MULTI:GPU(4),CPU", ("GPU", "CPU")),
        ("HETERO:GPU.0,CPU", ("GPU.0", "CPU")),
        ("BATCH:GPU(16)", ("GPU",)),
    ],
)
def test_a_device_that_may_be_absent_is_none(write, device, below):
    write(MODEL)
    matrix = load_matrix(write(f"models: [net.yml]\ndevices: [{json.dumps(device)}]\n", "all.yml"))
    assert [each.device for each in matrix.devices] == [device]
    assert devices_below(device) == below


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name: TunableQuantization", "nam: TunableQuantization"), "key 'compression.algorithms.0.name' is missing"),
        (("max_trials: 5", "metrics: [{name: baseline_value, baseline_value: x}]"), "valid number, not 'x'"),
        (("algorithms:\n", "algorithms: x\n    #"), "algorithms: input should be a list, not 'x'"),
        (("optimizer:", "paths: x\noptimizer:"), "paths: input should be a mapping, not 'x'"),
        (("{models: []}", "[]"), "must be a path or"),
    ],
)  # fmt: skip
def test_shapes_are_told_in_the_words_of_yaml(write, change, message):
    text = MODEL.replace(*change)
    with pytest.raises(ConfigurationError, match=message):
        load_model_config(write(text[: text.index("    #")] + "optimizer: {}\n" if "    #" in text else text))


@pytest.mark.parametrize("text", ["[]", "text", "5", "- a"])
def test_a_file_that_is_no_mapping(write, text):
    with pytest.raises(ConfigurationError, match="the file: input should be a mapping, not"):
        load_matrix(write(text))


def test_many_waivers_of_many_devices_are_read_at_once(write):
    write(MODEL)
    devices = ", ".join(f"GPU.{number}" for number in range(1000))
    waivers = ", ".join(
        f"{{cell: net-GPU.{number}@x, check: {check}, reason: x, until: 2999-01-01}}"
        for number in range(1000)
        for check in ("accuracy", "latency", "size", "memory", "compile time")
    )
    start = time.process_time()
    matrix = load_matrix(write(f"models: [net.yml]\ndevices: [{devices}]\nwaivers: [{waivers}]\n", "all.yml"))
    assert (len(matrix.devices), len(matrix.waivers)) == (1000, 5000)
    assert time.process_time() - start < 5
    with pytest.raises(ConfigurationError, match="at most 1000 items"):
        load_matrix(write(f"models: [net.yml]\ndevices: [{devices}, CPU]\n", "all.yml"))
