"""``init``: a YAML that `check` takes, with what can be seen of the model; and the JSON Schemas for editors."""

import json
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import yaml

from quantize_zoo.commands.places import matrix_at
from quantize_zoo.config import load_model_config, schema_path
from quantize_zoo.config.json_schema import schema_text
from quantize_zoo.errors import CellError, ConfigurationError
from quantize_zoo.graph import make_canonical, save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import find_checker
from quantize_zoo.text.from_yaml import parse_yaml
from quantize_zoo.zoo import write_starter
from zoo import several_outputs

GUESSES = {
    "digits-resnet": ("a classifier", "classification", "accuracy@top1"),
    "digits-vit": ("a classifier", "classification", "accuracy@top1"),
    "scenes-ssd": ("a detector: 2 outputs", "ssd", "mAP"),
    "shapes-unet": ("segmentation", "segmentation", "mean_iou"),
    "shapes-upscaler": ("an image to image model", "super_resolution", "psnr"),
    "reviews-transformer": ("a text classifier", "bert_classification", "accuracy"),
    "opinions-encoder": ("a text classifier", "bert_classification", "accuracy"),
    "lines-crnn": ("a text recognizer", "ctc_greedy_search_decoder", "character_recognition_accuracy"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", GUESSES)
def test_starter_sees_the_task_and_is_valid(name, zoo):
    looks, adapter, metric = GUESSES[name]
    path = write_starter(zoo / "embedded" / f"{name}.onnx", "schema.json")
    text = path.read_text()
    assert looks in text
    assert "TODO" in text
    assert not any(line != line.rstrip() for line in text.splitlines())
    config = matrix_at(path, [], [], {}).models[0]
    assert (config.name, config.metric) == (name, metric)
    launcher = config.accuracy_checker["models"][0]["launchers"][0]
    found = launcher["adapter"]
    assert (found if isinstance(found, str) else found["type"]) == adapter
    transformer = config.compression.tunable.model_type == "transformer"
    assert transformer == (name in ("digits-vit", "reviews-transformer", "opinions-encoder"))


def test_starter_names_the_inputs_size_and_the_outputs(zoo):
    text = write_starter(zoo / "embedded" / "digits-resnet.onnx", "schema.json").read_text()
    assert "{type: resize, size: 48}" in text
    text = write_starter(zoo / "embedded" / "scenes-ssd.onnx", "schema.json").read_text()
    assert "scores [?, 11, 846] f32, boxes [?, 4, 846] f32" in text


def test_starter_takes_an_ir_with_a_name_that_is_no_name(folder):
    save_model(several_outputs(), folder / "my model (1).xml")
    assert write_starter(folder / "my model (1).xml", "schema.json").name == "my-model--1-.yml"


def test_starter_overwrites_nothing(zoo, folder):
    (folder / "digits-resnet.yml").write_text("mine")
    with pytest.raises(ConfigurationError, match="is there already"):
        write_starter(zoo / "embedded" / "digits-resnet.onnx", "schema.json")
    with pytest.raises(ConfigurationError, match="no such file"):
        write_starter(folder / "none.onnx", "schema.json")


@pytest.mark.parametrize("name", ["model", "matrix"])
def test_committed_schema_is_the_models_own(name):
    assert schema_path(name).read_text() == schema_text(name), "run: python -m quantize_zoo.config.json_schema"


def test_every_shipped_yaml_names_its_schema(zoo):
    files = [*zoo.glob("*.yml"), *zoo.glob("embedded/*.yml"), *zoo.glob("open_model_zoo/*.yml")]
    files = [file for file in files if file.name != "accuracy-check.yml"]
    assert len(files) > 15
    for file in files:
        first = file.read_text().splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema=")
        named = (file.parent / first.split("=", 1)[1]).resolve()
        kind = "matrix" if "devices" in yaml.safe_load(file.read_text()) else "model"
        assert named == zoo / "schemas" / f"{kind}.schema.json", "also where another copy is installed"
        known = json.loads(named.read_text())["properties"]
        assert set(yaml.safe_load(file.read_text())) <= set(known)


def starter_of(folder, *inputs, outputs):
    """The checker's entry in the YAML for a model of these inputs (name, type, shape) and outputs (shapes)."""
    ports = []
    for name, kind, shape in inputs:
        ports.append(ops.parameter(shape, kind, name=name))
        ports[-1].output(0).set_names({name})
    total = None
    for port in ports:
        flat = ops.reduce_sum(ops.convert(port, "f32"), np.arange(len(port.output(0).partial_shape)), keep_dims=False)
        total = flat if total is None else ops.add(total, flat)
    results = []
    for shape in outputs:
        dynamic = [index for index, size in enumerate(shape) if size < 0]
        target = ops.constant(np.array([1 if size < 0 else size for size in shape], dtype=np.int64))
        if dynamic:
            length = ops.gather(ops.shape_of(ports[0]), np.array(dynamic), np.int64(0))
            target = ops.scatter_elements_update(target, np.array(dynamic), length, np.int64(0))
        results.append(ops.result(ops.broadcast(total, target)))
    save_model(ov.Model(results, ports, "net"), folder / "net.xml")
    path = write_starter(folder / "net.xml", "schema.json")
    matrix_at(path, [], [], {})
    return yaml.safe_load(path.read_text()), path.read_text()


IMAGES = [1, 3, 32, 32]
KINDS = {
    "classifier": ([("image", np.float32, IMAGES)], [[1, 10]], "classification", "accuracy@top1"),
    "any batch": ([("image", np.float32, [-1, 3, 32, 32])], [[-1, 10]], "classification", "accuracy@top1"),
    "classifier of any size": ([("image", np.float32, [1, 3, -1, -1])], [[1, 10]], "classification", "accuracy@top1"),
    "gray": ([("image", np.float32, [1, 1, 28, 28])], [[1, 10]], "classification", "accuracy@top1"),
    "bytes, channels last": ([("image", np.uint8, [1, 32, 32, 3])], [[1, 10]], "classification", "accuracy@top1"),
    "detector": ([("image", np.float32, IMAGES)], [[1, 100, 4], [1, 100, 5]], "ssd", "mAP"),
    "detector with a size": (
        [("image", np.float32, IMAGES), ("im_info", np.float32, [1, 3])], [[1, 1, 50, 7]], "ssd", "mAP",
    ),
    "detector with a size first": (
        [("im_shape", np.float32, [1, 2]), ("image", np.float32, [1, 3, -1, -1]), ("scale_factor", np.float32, [1, 2])],
        [[1, 1, 50, 7]], "ssd", "mAP",
    ),
    "rows of boxes": ([("image", np.float32, [1, 3, 64, 64])], [[1, 84, 100]], "ssd", "mAP"),
    "gray, channels last": ([("image", np.uint8, [-1, -1, -1, 1])], [[1, 10]], "classification", "accuracy@top1"),
    "map of one value a class": ([("image", np.float32, IMAGES)], [[1, 10, 1, 1]], "classification", "accuracy@top1"),
    "mask": ([("image", np.float32, [-1, 3, -1, -1])], [[1, 1, -1, -1]], "segmentation_one_class", "mean_iou"),
    "image to image, channels last": (
        [("image", np.float32, [1, 32, 32, 3])], [[1, 64, 64, 3]], "super_resolution", "psnr",
    ),
    "landmarks": ([("image", np.float32, IMAGES)], [[1, 68, 2]], "regression", "mae"),
    "segmentation": ([("image", np.float32, IMAGES)], [[1, 21, 32, 32]], "segmentation", "mean_iou"),
    "super resolution": ([("image", np.float32, IMAGES)], [[1, 3, 64, 64]], "super_resolution", "psnr"),
    "recognizer": (
        [("image", np.float32, [1, 1, 32, -1])], [[30, 1, 37]], "ctc_greedy_search_decoder",
        "character_recognition_accuracy",
    ),
    "recognizer with the batch first": (
        [("image", np.float32, [-1, 3, 48, -1])], [[-1, 30, 37]], "ppocr", "character_recognition_accuracy",
    ),
    "recognizer of one size": (
        [("image", np.float32, [1, 1, 32, 100])], [[26, 1, 37]], "ctc_greedy_search_decoder",
        "character_recognition_accuracy",
    ),
    "tokens": ([("input_ids", np.int64, [1, 64])], [[1, 2]], "bert_classification", "accuracy"),
    "tokens of any length": ([("tokens", np.int64, [-1, -1])], [[1, 3]], "bert_classification", "accuracy"),
    "BERT": (
        [(name, np.int64, [-1, -1]) for name in ("input_ids", "attention_mask", "token_type_ids")], [[1, 2]],
        "bert_classification", "accuracy",
    ),
    "tokens with positions": (
        [(name, np.int64, [1, 8]) for name in ("input_ids", "attention_mask", "position_ids")], [[1, 2]],
        "bert_classification", "accuracy",
    ),
    "signal": ([("signal", np.float32, [1, 1, -1])], [[1, 1]], "regression", "mae"),
    "two arrays": ([("a", np.float32, [1, 8]), ("b", np.float32, [1, 3])], [[1, 1]], "regression", "mae"),
    "names that YAML takes for something else": (
        [("0", np.float32, [1, 8]), ("on: off", np.float32, [1, 3])], [[1, 1]], "regression", "mae",
    ),
    "image to number": ([("image", np.float32, IMAGES)], [[1, 1]], "regression", "mae"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_starter_has_only_and_all_of_what_the_checker_knows(kind, folder):
    inputs, outputs, adapter, metric = KINDS[kind]
    content, text = starter_of(folder, *inputs, outputs=outputs)
    assert content["metric"] == metric
    (entry,) = content["accuracy_checker"]["models"]
    (dataset,) = entry["datasets"]
    (launcher,) = entry["launchers"]
    module = find_checker().module
    parts = [
        (module("annotation_converters.format_converter").BaseFormatConverter, dataset["annotation_conversion"]),
        (module("adapters").Adapter, launcher["adapter"]),
        (module("data_readers").BaseReader, dataset.get("reader", "opencv_imread")),
        *((module("preprocessor").Preprocessor, step) for step in dataset.get("preprocessing", [])),
        *((module("metrics.metric").Metric, each) for each in dataset["metrics"]),
    ]
    for base, part in parts:
        part = {"type": part} if isinstance(part, str) else part
        given = {key for key in part if key not in ("type", "converter", "name")}
        kind = base.resolve(part.get("converter") or part["type"])
        known = kind.parameters()
        needed = {key for key, field in known.items() if not field.optional and field.default is None}
        assert given <= known.keys(), part
        assert needed - {"type", "converter", "class"} <= given, part
        refused = kind.validate_config(part, fetch_only=True)
        assert not [error for error in refused if "does not exist" not in str(error)], part
    shapes = {name: tuple(shape) for name, _, shape in inputs}
    feeder = module("launcher.input_feeder").InputFeeder
    feeder(launcher.get("inputs", []), shapes, shapes.__getitem__)
    assert set(launcher) <= {"framework", "adapter", "inputs", "default_layout"}
    assert (launcher["adapter"] if isinstance(launcher["adapter"], str) else launcher["adapter"]["type"]) == adapter
    assert set(dataset) <= {
        "name", "data_source", "additional_data_source", "segmentation_masks_source", "reader", "annotation_conversion",
        "preprocessing", "metrics",
    }  # fmt: skip
    steps = [step["type"] for step in dataset.get("preprocessing", [])]
    name, element, shape = next((each for each in inputs if len(each[2]) == 4), inputs[0])
    assert ("bgr_to_gray" in steps) == (len(shape) == 4 and 1 in (shape[1], shape[3]))
    assert ("# - {type: resize" in text) == (len(shape) == 4 and sum(size < 0 for size in shape[1:]) == 2)
    assert ("normalization" in steps) == (len(shape) == 4 and element is np.float32)
    assert ("# input_shapes:" in text) == any(size < 0 for _, _, sizes in inputs for size in sizes)
    described = ", ".join("?" if size < 0 else str(size) for size in shape)
    assert f"{name} [{described}]" in text
    if len(inputs) > 1:
        assert [each["name"] for each in launcher["inputs"]] == [each for each, _, _ in inputs]


def test_tokens_are_filled_by_the_names_that_exporters_give(folder):
    content, _ = starter_of(folder, *KINDS["BERT"][0], outputs=[[1, 2]])
    (entry,) = content["accuracy_checker"]["models"]
    values = [each["value"] for each in entry["launchers"][0]["inputs"]]
    assert values == ["input_ids*", "input_mask*", "segment_ids*"]
    assert entry["datasets"][0]["reader"]["features"] == ["input_ids", "input_mask", "segment_ids"]
    assert entry["datasets"][0]["annotation_conversion"]["enable_padding"] is False


def inputs_of(content):
    return content["accuracy_checker"]["models"][0]["launchers"][0]["inputs"]


def test_tokens_without_telling_names_are_filled_by_their_order(folder):
    content, text = starter_of(folder, *[(name, np.int64, [1, 8]) for name in ("0", "1", "2")], outputs=[[1, 2]])
    assert [each["name"] for each in inputs_of(content)] == ["0", "1", "2"]
    assert [each["value"] for each in inputs_of(content)] == ["input_ids*", "input_mask*", "segment_ids*"]
    assert text.count("guessed by its place") == 2


def test_positions_are_a_constant_where_lengths_are_fixed(folder):
    names = ("input_ids", "position_ids")
    content, _ = starter_of(folder, *[(name, np.int64, [1, 4]) for name in names], outputs=[[1, 2]])
    assert inputs_of(content)[1] == {"name": "position_ids", "type": "CONST_INPUT", "value": [[0, 1, 2, 3]]}
    (folder / "net.yml").unlink()
    content, text = starter_of(folder, *[(name, np.int64, [-1, -1]) for name in names], outputs=[[1, 2]])
    assert inputs_of(content)[1] == {"name": "position_ids", "type": "IGNORE_INPUT"}
    assert "TODO: texts have no positions" in text


def test_a_single_image_beside_its_size_needs_no_file_name_that_fits(folder):
    content, _ = starter_of(folder, *KINDS["detector with a size first"][0], outputs=[[1, 1, 50, 7]])
    assert inputs_of(content) == [
        {"name": "im_shape", "type": "IMAGE_INFO"},
        {"name": "image", "type": "INPUT"},
        {"name": "scale_factor", "type": "SCALE_FACTOR"},
    ]


def test_a_text_with_another_number_of_classes_is_told_what_the_converter_knows(folder):
    _, text = starter_of(folder, ("tokens", np.int64, [-1, -1]), outputs=[[1, 3]])
    assert "sst-2 knows labels 0 and 1 only" in text


def test_a_model_file_that_yaml_takes_for_a_number_stays_a_name(folder):
    save_model(several_outputs(), folder / "123.xml")
    path = write_starter(folder / "123.xml", "schema.json")
    assert matrix_at(path, [], [], {}).models[0].name == "123"


NAMES = (
    "a: b", "a # b", "quo\"t'ed", "new\nline", "{x}", "{count} {outputs} {NUMBER}", "tab\there", "- x", "@x", "%TAG",
    "a\u2028b", "a\x7fb", "yes", "1e5", "010", "null", "[a", "*a", "&a", "!a", "|", "---", "a:", " lead", "trail ",
    "\\", "\x1b[31m", "\x85", "é\U0001f600", "x" * 200,
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_the_one_that_the_starter_names(folder, name):
    save_model(tokens_and_image("x"), folder / "net.xml")
    (folder / "net.xml").rename(folder / f"{name}.xml")
    (folder / "net.bin").rename(folder / f"{name}.bin")
    config = load_model_config(write_starter(Path(f"{name}.xml"), "schema.json"))
    assert config.model == folder.resolve() / f"{name}.xml"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_inputs_of_any_name_are_those_that_the_starter_names(folder, name, dtype):
    save_model(tokens_and_image(name, dtype), folder / "net.xml")
    names = {each.get_any_name() for each in ov.Core().read_model(folder / "net.xml").inputs}
    content = parse_yaml(write_starter(folder / "net.xml", "schema.json").read_text()).data
    launcher = content["accuracy_checker"]["models"][0]["launchers"][0]
    assert {each["name"] for each in launcher["inputs"]} == names


def tokens_and_image(name, dtype=np.float32):
    """A model of two inputs with odd names, the second of a shape that is not an image's."""
    inputs = [ops.parameter([1, size], dtype, name=f"{name}{size}") for size in (4, 5)]
    for node, size in zip(inputs, (4, 5), strict=True):
        node.get_output_tensor(0).set_names({f"{name}{size}"})
    results = [ops.result(ops.relu(ops.convert(node, "f32"))) for node in inputs]
    return ov.Model(results, inputs, "net")


def test_outputs_without_dimensions_and_tensors_without_names(folder):
    image = ops.parameter([1, 3, 8, 8], np.float32)
    model = ov.Model([ops.result(ops.reduce_sum(image, np.array([0, 1, 2, 3]), False))], [image], "net")
    for port in (*model.inputs, *model.outputs):
        port.get_tensor().set_names(set())
    save_model(model, folder / "net.xml")
    assert matrix_at(write_starter(folder / "net.xml", "schema.json"), [], [], {}).models[0].metric == "mae"


def test_a_model_without_inputs_has_nothing_to_start_from(folder):
    save_model(
        ov.Model([ops.result(ops.relu(ops.constant(np.ones((1, 3), np.float32))))], [], "net"), folder / "net.xml"
    )
    with pytest.raises(ConfigurationError, match="the model has no input"):
        write_starter(folder / "net.xml", "schema.json")
    with pytest.raises(CellError, match="the model has no input"):
        make_canonical(folder / "net.xml", {}, folder / "canonical.xml")
    assert not list(folder.glob("*.yml"))


def test_a_name_that_is_too_long_is_no_file(folder):
    with pytest.raises(ConfigurationError, match="no such file"):
        write_starter(folder / ("x" * 300 + ".onnx"), "schema.json")
