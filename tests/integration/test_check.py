"""``check`` tells what a run would find: names, keys, files, data and the model, with file, line and what is near."""

import json
import pickle
import re
import shutil
import sys

import numpy as np
import pytest

from builders import model, parameter, plain_int8
from quantize_zoo.cell.inspection import refuse_fleets
from quantize_zoo.commands.places import looked_at, matrix_at
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import fed_with_answers


def dataset(content):
    return content["models"][0]["datasets"][0]


def launcher(content):
    return content["models"][0]["launchers"][0]


@pytest.fixture
def check(small, quantize_zoo):
    """Change a file of the small matrix, then check that; return the message."""

    def invoke(file, change, *options):
        small.edit(file, change)
        status, out, err = quantize_zoo("check", small.path, *options)
        assert status == 2, out + err
        assert out == ""
        assert "Traceback" not in err
        assert not small.reports.exists()
        return err

    return invoke


def line_of(path, text):
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_a_network_that_is_fed_with_its_answers_is_no_fleets(small):
    states = [{"name": "state", "type": "LSTM_INPUT", "value": "after"}]
    small.edit("accuracy-check.yml", lambda content: launcher(content).update(inputs=states))
    members = ["CPU", {"device": "CPU", "isa": "AVX2"}]
    small.edit("matrix.yml", lambda matrix: matrix["devices"].append({"fleet": "servers", "members": members}))
    (error,) = refuse_fleets(matrix_at(small.path, [], [], {}))
    assert error.where == f"{small.path}:{line_of(small.path, 'fleet: servers')}: devices.1.fleet"
    assert "net cannot be of the fleet 'servers': an LSTM_INPUT of the launcher feeds the network" in error.what
    small.edit("matrix.yml", lambda matrix: matrix["devices"].pop())
    assert list(refuse_fleets(matrix_at(small.path, [], [], {}))) == []
    evaluator = {"evaluation": {"module": "custom_evaluators.x.Y"}}
    assert fed_with_answers(evaluator) == "the custom evaluator custom_evaluators.x.Y"
    assert fed_with_answers({"launchers": [{"inputs": "none"}, {}]}) == ""


def misspell(name, wrong):
    """Rename a key of the dataset."""

    def change(content):
        dataset(content)[wrong] = dataset(content).pop(name)

    return change


def put(place, key, value):
    return lambda content: place(content).update({key: value})


NAMES = {
    "converter": (
        lambda each: dataset(each)["annotation_conversion"].update(converter="imagnet"), "converter 'imagnet'",
        "imagenet",
    ),
    "adapter": (put(launcher, "adapter", "clasification"), "adapter 'clasification'", "classification"),
    "adapter_type": (put(launcher, "adapter", {"type": "sssd"}), "adapter 'sssd'", "ssd"),
    "reader": (put(dataset, "reader", "opencv_imreed"), "data reader 'opencv_imreed'", "opencv_imread"),
    "preprocessor": (lambda each: dataset(each)["preprocessing"][0].update(type="resise"), "'resise'", "resize"),
    "postprocessor": (put(dataset, "postprocessing", [{"type": "nmss"}]), "postprocessor 'nmss'", "nms"),
    "metric": (lambda each: dataset(each)["metrics"][1].update(type="acuracy"), "metric 'acuracy'", "accuracy"),
    "key_of_dataset": (misspell("preprocessing", "preprocesing"), "unknown key 'preprocesing'", "preprocessing"),
    "key_of_conversion": (
        misspell("annotation_conversion", "annotaton_conversion"), "unknown key 'annotaton_conversion'",
        "annotation_conversion",
    ),
    "key_of_converter": (
        lambda each: dataset(each)["annotation_conversion"].update(has_backgroud=True), "unknown key 'has_backgroud'",
        "has_background",
    ),
    "key_of_metric": (lambda each: dataset(each)["metrics"][0].update(topk=1), "unknown key 'topk'", "top_k"),
    "key_of_launcher": (put(launcher, "adaptor", "classification"), "unknown key 'adaptor'", "adapter"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("options", [(), ("--fast",)], ids=["", "fast"])
def test_unknown_names_and_keys(check, small, kind, options):
    change, wrong, right = NAMES[kind]
    err = check("accuracy-check.yml", change, *options)
    path = small.folder / "accuracy-check.yml"
    line = line_of(path, re.search(r"'([^']*)'", wrong)[1] if "'" in wrong else wrong)
    assert f"{path}:{line}: " in err
    assert wrong in err
    assert f"did you mean '{right}'?" in err


def entry(content):
    return content["models"][0]


def rename(place, name, wrong):
    return lambda content: place(content).update({wrong: place(content).pop(name)})


def whole(content):
    return content


def as_evaluation(content):
    content["evaluations"] = [{"name": "net", "modul": "a.b", "module_config": {}}]
    del content["models"]


LEVELS = {
    "models": (rename(whole, "models", "modells"), "modells", "models"),
    "launchers": (rename(entry, "launchers", "launchrs"), "launchrs", "launchers"),
    "datasets": (rename(entry, "datasets", "dataset"), "dataset", "datasets"),
    "name": (rename(entry, "name", "nmae"), "nmae", "name"),
    "metrics": (rename(dataset, "metrics", "metric"), "metric", "metrics"),
    "framework": (rename(launcher, "framework", "frmework"), "frmework", "framework"),
    "module": (as_evaluation, "modul", "module"),
}


@pytest.mark.parametrize("kind", LEVELS)
def test_a_mistyped_key_of_any_level_is_told_with_the_nearest(check, small, kind):
    change, wrong, right = LEVELS[kind]
    err = check("accuracy-check.yml", change)
    path = small.folder / "accuracy-check.yml"
    assert f"{path}:{line_of(path, f'{wrong}:')}: unknown key '{wrong}'" in err
    assert f"did you mean '{right}'?" in err


@pytest.mark.parametrize("kind", [each for each in LEVELS if each != "models"])
def test_so_it_is_in_the_checkers_file_alone(small, quantize_zoo, kind):
    change, wrong, right = LEVELS[kind]
    small.edit("accuracy-check.yml", change)
    status, out, _ = quantize_zoo("check", small.folder / "accuracy-check.yml")
    assert status == 2
    assert f"unknown key '{wrong}'\n  -> did you mean '{right}'?" in out


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (["digits", "other"], "has the models 'digits', 'other', none named 'net': 'digits' is taken"),
        (["other", "net"], ""),
        (["net", "other", "net"], "has 2 models named 'net': the first is taken"),
        (["digits"], ""),
    ],
)
def test_which_of_several_models_is_taken_is_told(small, quantize_zoo, names, note):
    small.edit("accuracy-check.yml", lambda each: each.update(models=[{**entry(each), "name": name} for name in names]))
    status, _, err = quantize_zoo("check", small.path)
    assert status == 0, err
    assert (note in err) if note else err == ""


@pytest.mark.parametrize(
    ("second", "note"),
    [
        ({"adapter": "ssd"}, "of the 2 launchers for OpenVINO, which are not alike, the first is taken"),
        ({"device": "GPU"}, ""),
        ({"framework": "caffe", "adapter": "ssd"}, ""),
    ],
)
def test_which_of_several_launchers_is_taken_is_told(small, quantize_zoo, second, note):
    small.edit("accuracy-check.yml", lambda each: entry(each)["launchers"].append({**launcher(each), **second}))
    status, _, err = quantize_zoo("check", small.path)
    assert status == 0, err
    assert (note in err) if note else err == ""


@pytest.mark.parametrize("key", ["metric", "dataset"])
def test_a_name_that_the_configuration_does_not_have_is_told_with_its_line(check, small, key):
    err = check("net.yml", lambda content: content.update({key: "accuracy@topp"}))
    path = small.folder / "net.yml"
    assert f"{path}:{line_of(path, f'{key}: accuracy@topp')}: {key} 'accuracy@topp' is not in" in err


def without(place, key):
    return lambda content: place(content).pop(key)


VALUES = {
    "text_for_a_number": (
        lambda each: dataset(each)["metrics"][0].update(top_k="one"), "top_k", "top_k is 'one': must be number",
    ),
    "no_values": (
        put(dataset, "preprocessing", [{"type": "normalization", "std": "foo"}]), "std", "std is 'foo': ",
    ),
    "too_few_values": (
        put(dataset, "preprocessing", [{"type": "normalization", "std": "1,2"}]), "std", "std is '1,2': should be one",
    ),
    "choice": (put(dataset, "reader", {"type": "opencv_imread", "reading_flag": "grey"}), "reading_flag: g", "'gray'?"),
    "size_of_a_batch": (put(dataset, "batch", 0), "batch", "batch is 0: value is less than minimal allowed - 1"),
    "two_metrics_of_one_name": (
        put(dataset, "metrics", [{"type": "accuracy"}, {"top_k": 2, "type": "accuracy"}]), "top_k: 2",
        "two metrics are named 'accuracy'",
    ),
    "no_reader_type": (put(dataset, "reader", {"reading_flag": "gray"}), "reader", "key 'type' is missing"),
    "no_annotation_file": (
        lambda each: dataset(each)["annotation_conversion"].pop("annotation_file"), "annotation_conversion",
        "annotation converter 'imagenet' needs 'annotation_file'",
    ),
    "samples_as_text": (put(dataset, "subsample_size", "ten"), "subsample_size", "subsample_size is 'ten': must be a"),
    "no_samples": (put(dataset, "subsample_size", 0), "subsample_size", "subsample_size is 0: must be a whole number"),
    "fewer_than_none": (put(dataset, "subsample_size", -5), "subsample_size", "subsample_size is -5: must be"),
    "share_of_nothing": (put(dataset, "subsample_size", "0%"), "subsample_size", "subsample_size is '0%': must be"),
    "empty_subset": (put(dataset, "subset", []), "subset: []", "subset is []: must name one sample or more"),
    "type_of_an_input": (
        put(launcher, "inputs", [{"name": "image", "type": "INPT"}]), "type: INPT", "did you mean 'INPUT'?",
    ),
    "input_without_name": (put(launcher, "inputs", [{"type": "INPUT"}]), "inputs", "inputs[0] needs 'name'"),
    "inputs_as_text": (put(launcher, "inputs", "image"), "inputs: image", "must be a list of mappings"),
    "inputs_as_names": (put(launcher, "inputs", ["image"]), "inputs:", "inputs[0] is 'image': must be a mapping"),
    "no_adapter": (without(launcher, "adapter"), "launchers", "the launcher names no adapter"),
    "no_annotation": (without(dataset, "annotation_conversion"), "data_source", "names no annotation itself"),
    "no_data": (without(dataset, "data_source"), "annotation_conversion", "needs 'data_source'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
def test_values_that_the_checker_does_not_take(check, small, kind):
    change, place, message = VALUES[kind]
    metric = lambda content: content.update(metric="accuracy" if "two" in kind else "accuracy@top1")  # noqa: E731
    small.edit("net.yml", metric)
    err = check("accuracy-check.yml", change)
    path = small.folder / "accuracy-check.yml"
    assert message in err
    told = int(re.search(rf"{re.escape(str(path))}:(\d+): ", err)[1])
    assert abs(told - line_of(path, place)) <= (1 if kind.startswith(("no_", "two", "input")) else 0), err
    assert "see the accuracy checker's documentation" not in err


@pytest.mark.parametrize("kind", [*NAMES, *VALUES])
def test_the_checkers_file_alone_is_told_the_same(check, small, quantize_zoo, kind):
    change = (NAMES | VALUES)[kind][0]
    err = check("accuracy-check.yml", change) if kind in NAMES else ""
    if kind in VALUES:
        small.edit("accuracy-check.yml", change)
    status, out, _ = quantize_zoo("check", small.folder / "accuracy-check.yml")
    assert status == 2
    expected = (NAMES | VALUES)[kind]
    assert (expected[1] if kind in NAMES else expected[2]) in out
    for line in err.replace("error: ", "").splitlines():
        assert re.sub(r"^\S+accuracy-check.yml:\d+: ", "", line) in out


def test_of_the_checkers_file_missing_data_are_told_unless_it_is_looked_at_alone(small, quantize_zoo):
    shutil.rmtree(small.folder / "images")
    path = small.folder / "accuracy-check.yml"
    status, out, _ = quantize_zoo("check", path)
    assert status == 2
    assert f"{path}:{line_of(path, 'data_source')}: " in out
    assert f"data_source: there is no {small.folder / 'images'}" in out
    assert "0 of 1 models can be scored" in out
    assert quantize_zoo("check", path, "--fast")[:2] == (0, "1 of 1 models can be scored\n")


def test_a_folder_where_the_checker_takes_a_file_is_told(check, small):
    err = check(
        "accuracy-check.yml", lambda each: dataset(each)["annotation_conversion"].update(annotation_file="images")
    )
    assert "annotation_file is " in err
    assert "path is a directory, regular file expected" in err


def test_what_the_checker_writes_need_not_be_there(small, quantize_zoo):
    written = {"annotation": "converted.pickle", "dataset_meta": "converted.json"}
    small.edit("accuracy-check.yml", lambda each: dataset(each).update(written))
    assert quantize_zoo("check", small.folder / "accuracy-check.yml")[0] == 0
    assert not list(small.folder.glob("converted.*"))


def test_a_key_that_the_checker_passes_over_does_not_keep_a_model_from_being_scored(small, quantize_zoo):
    small.edit("accuracy-check.yml", put(launcher, "adapter", {"type": "classification", "anchors": "1,2"}))
    status, out, _ = quantize_zoo("check", small.folder / "accuracy-check.yml", "--json")
    assert status == 2
    (found,) = json.loads(out)
    assert found["problem"] == ""
    assert found["faults"][0]["what"] == "unknown key 'anchors'"


def test_all_that_is_wrong_is_told_at_once(check):
    def change(content):
        dataset(content)["preprocesing"] = dataset(content).pop("preprocessing")
        launcher(content)["adapter"] = "clasification"

    err = check("accuracy-check.yml", change)
    assert "preprocesing" in err
    assert "clasification" in err


def test_files_that_are_not_there(check, small, quantize_zoo):
    shutil.rmtree(small.folder / "images")
    (small.folder / "labels.txt").unlink()
    assert quantize_zoo("check", small.path, "--fast")[0] == 0
    err = check("net.yml", lambda content: None)
    path = small.folder / "accuracy-check.yml"
    assert f"{path}:{line_of(path, 'data_source')}: data_source: there is no {small.folder / 'images'}" in err
    assert f"{path}:{line_of(path, 'annotation_file')}: annotation_file: there is no" in err


def test_a_fresh_yaml_is_told_to_lack_its_data(small, quantize_zoo, monkeypatch):
    (small.folder / "fresh").mkdir()
    monkeypatch.chdir(small.folder / "fresh")
    net = shutil.copy(small.folder / "net.onnx", small.folder / "fresh")
    assert quantize_zoo("init", net)[0] == 0
    made = small.folder / "fresh" / "net.yml"
    status, out, err = quantize_zoo("check", made)
    assert (status, out) == (2, "")
    assert f"{made}:{line_of(made, 'data_source')}: data_source: there is no " in err


def test_a_line_of_the_annotation_without_its_label(check, small):
    lines = (small.folder / "labels.txt").read_text().splitlines()
    lines[41] = lines[41].split()[0]
    (small.folder / "labels.txt").write_text("\n".join(lines) + "\n")
    assert f"{small.folder / 'labels.txt'}:42: ValueError" in check("net.yml", lambda content: None)


def test_a_truncated_image(check, small):
    image = small.folder / "images" / (small.folder / "labels.txt").read_text().split()[0]
    image.write_bytes(image.read_bytes()[:60])
    assert f"sample {image.name!r} cannot be read" in check("net.yml", lambda content: None)


def test_data_of_another_size_than_the_model_takes(check, small):
    err = check("accuracy-check.yml", lambda content: dataset(content)["preprocessing"][0].update(size=32))
    path = small.folder / "accuracy-check.yml"
    assert f"{path}:{line_of(path, 'preprocessing')}: " in err
    assert "takes (?, 3, 48, 48), the preprocessed data are (1, 3, 32, 32)" in err


def test_an_adapter_of_another_task(check, small):
    err = check("accuracy-check.yml", put(launcher, "adapter", "ssd"))
    path = small.folder / "accuracy-check.yml"
    assert f"{path}:{line_of(path, 'adapter')}: adapter 'ssd' does not fit the model's outputs (probabilities)" in err


def test_a_postprocessor_of_another_task_is_no_fault_of_the_adapter(check):
    postprocessing = [{"type": "resize_prediction_boxes"}]
    err = check("accuracy-check.yml", put(dataset, "postprocessing", postprocessing))
    assert "postprocessing" in err
    assert "adapter 'classification' does not fit" not in err


@pytest.mark.parametrize("value", ["many", "[1, 2]", "0.5;0.5"])
def test_a_constant_input_that_is_no_number(check, value):
    inputs = [{"name": "image", "type": "CONST_INPUT", "value": value}]
    err = check("accuracy-check.yml", put(launcher, "inputs", inputs))
    assert f"input 'image' does not take {value!r}" in err


def test_outputs_that_the_checkers_launcher_would_add_are_refused(check, small, quantize_zoo):
    """It adds tensors inside of the model; those that are outputs already change nothing."""
    small.edit("accuracy-check.yml", put(launcher, "outputs", ["probabilities"]))
    assert quantize_zoo("check", small.path)[0] == 0
    err = check("accuracy-check.yml", put(launcher, "outputs", ["probabilities", "inside"]))
    path = small.folder / "accuracy-check.yml"
    assert re.search(
        rf"{re.escape(str(path))}:\d+: 'outputs' of the launcher adds 'inside' to the model's outputs", err
    )


def test_models_that_cannot_be_quantized(check, small):
    net = read_model(small.folder / "net.onnx")
    images = [{"image": np.random.default_rng(0).normal(size=(1, 3, 48, 48)).astype(np.float32)}]
    save_model(plain_int8(net, images), small.folder / "int8.xml")
    err = check("net.yml", lambda content: content.update(model="int8.xml"))
    path = small.folder / "net.yml"
    assert f"{path}:{line_of(path, 'model: int8.xml')}: model 'net' is quantized already" in err
    image = parameter((1, 3, 48, 48))
    save_model(model(ops.relu(image), image), small.folder / "relu.xml")
    err = check("net.yml", lambda content: content.update(model="relu.xml"))
    assert f"{path}:{line_of(path, 'model: relu.xml')}: model 'net' has no operation that" in err


@pytest.mark.parametrize("framework", ["caffe", "tf", "tf2", "mxnet", "pytorch", "paddle_paddle"])
@pytest.mark.parametrize("command", ["check", "run"])
def test_other_frameworks_are_refused_everywhere_alike(small, quantize_zoo, framework, command):
    small.edit("accuracy-check.yml", lambda content: launcher(content).update(framework=framework))
    status, out, err = quantize_zoo(command, small.path)
    assert (status, out) == (2, "")
    assert f"is for another framework: {framework}" in err
    status, out, err = quantize_zoo("check", small.folder / "accuracy-check.yml")
    assert status == 2
    assert f"another framework: {framework}" in out


def test_onnx_runtime_is_scored_by_openvino_and_said_so(small, quantize_zoo):
    small.edit("accuracy-check.yml", lambda content: launcher(content).update(framework="onnx_runtime"))
    status, out, err = quantize_zoo("check", small.path)
    assert status == 0, err
    assert out == "1 cell: net-CPU[f32]\n"
    assert "is for onnx_runtime; accuracy is scored by OpenVINO" in err


CONVERTERS = {
    "coco_without_images": ("mscoco_detection", "{}", "the key 'images' is missing"),
    "coco_without_segmentation": (
        "mscoco_mask_rcnn",
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 4}],
                "categories": [{"id": 1, "name": "a"}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2], "iscrowd": 0}],
            }
        ),
        "the key 'segmentation' is missing",
    ),
    "no_pickle": ("face_recognition_bin", "{}", "UnpicklingError"),
}


@pytest.mark.parametrize("kind", CONVERTERS)
def test_the_file_at_which_a_converter_stopped_is_named(check, small, kind):
    converter, text, message = CONVERTERS[kind]
    (small.folder / "labels.json").write_text(text)
    key = "bin_file" if kind == "no_pickle" else "annotation_file"
    err = check(
        "accuracy-check.yml", put(dataset, "annotation_conversion", {"converter": converter, key: "labels.json"})
    )
    path = small.folder / "accuracy-check.yml"
    assert f"{path}:{line_of(path, 'annotation_conversion')}: the dataset cannot be read: " in err
    assert f"{small.folder / 'labels.json'}: {message}" in err


PACKAGES = {
    "adapter": (put(launcher, "adapter", {"type": "dna_seq_beam_search"}), "fast_ctc_decode"),
    "converter": (
        put(dataset, "annotation_conversion", {"converter": "lmdb_text_recognition_database", "data_dir": "images"}),
        "lmdb",
    ),
    "metric": (put(dataset, "metrics", [{"type": "lpips", "name": "accuracy@top1"}]), "lpips"),
    "reader": (put(dataset, "reader", "dicom_reader"), "pydicom"),
}


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_package_that_a_part_needs_and_is_not_installed(check, monkeypatch, kind):
    change, package = PACKAGES[kind]
    monkeypatch.setitem(sys.modules, package, None)
    err = check("accuracy-check.yml", change)
    assert f"{kind} " in err
    assert f"needs the Python package {package}, which is not installed" in err
    assert f"pip install {package}" in err


def test_a_metric_of_another_task_says_what_it_takes_and_what_there_is(check, small):
    err = check("accuracy-check.yml", put(dataset, "metrics", [{"type": "wer", "name": "accuracy@top1"}]))
    path = small.folder / "accuracy-check.yml"
    assert f"{path}:{line_of(path, 'metrics')}: metric 'accuracy@top1' takes CharacterRecognitionAnnotation, and" in err
    assert "annotation_conversion makes ClassificationAnnotation" in err


def test_scores_of_boxes_are_none_of_classes(check):
    err = check("accuracy-check.yml", put(launcher, "adapter", "yolor"))
    assert "the adapter makes DetectionPrediction" in err
    assert "has label" not in err


def test_a_failing_postprocessor_is_named_with_its_place(check, small):
    err = check("accuracy-check.yml", put(dataset, "postprocessing", [{"type": "nms"}]))
    path = small.folder / "accuracy-check.yml"
    assert f"{path}:{line_of(path, 'postprocessing')}: postprocessor 'nms' fails for sample '0000.png'" in err


@pytest.mark.parametrize("is_there", [True, False])
def test_meta_data_that_nothing_reads(check, small, is_there):
    if is_there:
        (small.folder / "meta.json").write_text('{"label_map": {"0": "zero"}}')
    err = check("accuracy-check.yml", put(dataset, "dataset_meta", "meta.json"))
    path = small.folder / "accuracy-check.yml"
    assert f"{path}:{line_of(path, 'dataset_meta')}: dataset_meta is not read" in err
    assert "name the file as dataset_meta_file in annotation_conversion" in err


def test_meta_data_of_a_converted_annotation_have_to_be_there(check, small, quantize_zoo):
    written = {"annotation": "converted.pickle", "dataset_meta": "converted.json"}
    small.edit("accuracy-check.yml", lambda each: dataset(each).update(written))
    assert quantize_zoo("check", small.path)[0] == 0
    assert (small.folder / "converted.pickle").exists()
    (small.folder / "converted.json").unlink(missing_ok=True)
    assert f"dataset_meta: there is no {small.folder / 'converted.json'}" in check("net.yml", lambda content: None)


def test_what_opencv_refuses_is_told_in_one_line(check):
    err = check("accuracy-check.yml", lambda each: dataset(each)["preprocessing"].append({"type": "bgr_to_rgb"}))
    assert "preprocessor 'bgr_to_rgb' fails for sample '0000.png': " in err
    assert re.search(r"Unsupported depth of input image: .* where 'depth' is 6 \(CV_64F\)", err)


@pytest.mark.parametrize(("content", "message"), [([1, 2], "of type list"), (None, "of type NoneType")])
def test_a_converted_annotation_that_is_none_is_told_by_its_own_key(check, small, content, message):
    (small.folder / "other.pickle").write_bytes(pickle.dumps(content))

    def change(entry):
        del dataset(entry)["annotation_conversion"]
        dataset(entry)["annotation"] = "other.pickle"

    err = check("accuracy-check.yml", change)
    path = small.folder / "accuracy-check.yml"
    assert f"{path}:{line_of(path, 'annotation')}: " in err
    assert f"other.pickle holds something {message} where the accuracy checker writes annotations" in err


def test_a_parameter_of_the_quantization_has_its_own_line(check, small):
    params = {"ignored": {"scope": ["nope"]}}
    algorithm = {"name": "TunableQuantization", "params": params}
    err = check("net.yml", lambda each: each.update(compression={"algorithms": [algorithm]}))
    path = small.folder / "net.yml"
    assert f"{path}:{line_of(path, 'scope') + 1}: ignored.scope: the model has no operation 'nope'" in err


SHAPES = {
    "rank": ({"image": [1, 3, 48]}, "input 'image' of the model has rank 4"),
    "memory": ({"image": [2_147_483_647, 3, 48, 48]}, "the model's inputs (image [2147483647,3,48,48]) take"),
    "channels": ({"image": [1, 2, 48, 48]}, "the model does not take the shapes image [1, 2, 48, 48]"),
    "name": ({"imagee": [1, 3, 48, 48]}, "the model has no input 'imagee'\n  -> did you mean 'image'?"),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_shapes_that_the_model_cannot_have_are_told_with_their_line(check, small, kind):
    shapes, wrong = SHAPES[kind]
    err = check("net.yml", lambda content: content.update(input_shapes=shapes))
    path = small.folder / "net.yml"
    assert f"{path}:{line_of(path, 'input_shapes')}: {wrong}" in err


def test_a_batch_of_the_benchmark_beyond_memory(check, small, monkeypatch):
    monkeypatch.setattr("quantize_zoo.graph.memory.os.sysconf", lambda name: {"SC_PAGE_SIZE": 1}.get(name, 10_000_000))
    err = check("net.yml", lambda content: content["optimizer"]["params"]["benchmark"].update(batch_size=65536))
    path = small.folder / "net.yml"
    assert f"{path}:{line_of(path, 'batch_size')}: the model's inputs (image [65536,3,48,48]) take 1.8 GB" in err


def annotation_of(name, content):
    """Write a file in the place of the annotation."""

    def change(folder, checker):
        (folder / name).write_bytes(content)
        del dataset(checker)["annotation_conversion"]
        dataset(checker)["annotation"] = name

    return change


def meta_that_is_no_json(folder, checker):
    (folder / "meta.json").write_text('{"label_map": ')
    dataset(checker)["annotation_conversion"]["dataset_meta_file"] = "meta.json"


def without_samples(folder, checker):
    (folder / "labels.txt").write_text("")


UNREADABLE = {
    "empty": (annotation_of("a.pickle", b""), "the dataset is empty: no annotated sample"),
    "json": (annotation_of("a.pickle", b'{"a": 1}'), "a.pickle: UnpicklingError"),
    "truncated": (annotation_of("a.pickle", pickle.dumps(["a"] * 9)[:-3]), "the dataset cannot be read"),
    "no_samples": (without_samples, "the dataset is empty: no annotated sample"),
    "meta": (meta_that_is_no_json, "meta.json:1: JSONDecodeError"),
    "reader": (lambda _, each: dataset(each).update(reader="nifti_reader"), "needs the Python package nibabel"),
    "metric": (
        lambda _, each: dataset(each)["metrics"].append({"type": "accuracy_per_class"}),
        "metric 'accuracy_per_class' needs the names of the dataset's classes",
    ),
    "preprocessing": (
        lambda _, each: dataset(each)["preprocessing"].append({"type": "crop", "size": 8, "central_fraction": 0.5}),
        "preprocessor 'crop' cannot be used: both sizes and central fraction provided",
    ),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_takes_no_model_is_read_of_the_checkers_file_alone(small, quantize_zoo, kind):
    change, wrong = UNREADABLE[kind]
    small.edit("accuracy-check.yml", lambda content: change(small.folder, content))
    path = small.folder / "accuracy-check.yml"
    before = sorted(small.folder.iterdir())
    status, out, err = quantize_zoo("check", path)
    assert (status, err) == (2, "")
    assert re.match(rf"{path}:\d+: ", out)
    assert wrong in out
    assert "0 of 1 models can be scored" in out
    assert sorted(small.folder.iterdir()) == before


def test_a_list_of_steps_without_one(check, small):
    err = check("accuracy-check.yml", put(dataset, "postprocessing", []), "--fast")
    path = small.folder / "accuracy-check.yml"
    assert f"{path}:{line_of(path, 'postprocessing')}: postprocessing is []: value is empty" in err


READ = {
    "metric": NAMES["metric"][:2],
    "threshold": (
        lambda each: dataset(each)["metrics"].append({"type": "face_recognition_tafa_pair_metric", "threshold": -2}),
        "threshold is -2",
    ),
    "crop": (
        lambda each: dataset(each)["preprocessing"].append({"type": "crop", "size": 8, "central_fraction": 0.5}),
        "preprocessor 'crop' cannot be used: both sizes and central fraction provided",
    ),
    "empty": (put(dataset, "postprocessing", []), "postprocessing is []"),
    "memory": (
        lambda each: dataset(each)["preprocessing"][0].update(size=10_000_000),
        "preprocessor 'resize': its pictures take 100,000.0 GB",
    ),
}


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("command", [("check", "--fast"), ("run",)], ids=["check", "run"])
def test_what_can_be_read_to_be_wrong_is_refused_before_a_run_is_written(small, quantize_zoo, kind, command):
    change, wrong = READ[kind]
    small.edit("accuracy-check.yml", change)
    reports = ("--reports", small.reports) if command == ("run",) else ()
    status, _, err = quantize_zoo(command[0], small.path, *command[1:], *reports)
    assert status == 2, err
    assert re.match(rf"error: {small.folder}/accuracy-check.yml:\d+: ", err)
    assert wrong in err
    assert not small.reports.exists()


def test_a_waiver_that_has_ended_is_told(small, quantize_zoo):
    waivers = [
        {"cell": "net-CPU", "check": each, "until": day, "reason": "known"}
        for each, day in (("accuracy", "2020-01-01"), ("latency", "9999-12-31"))
    ]
    small.edit("matrix.yml", lambda content: content.update(waivers=waivers, devices=["CPU"]))
    status, out, err = quantize_zoo("check", small.path, "--fast")
    assert (status, out) == (0, "1 cell: net-CPU\n")
    assert err == "net-CPU: the waiver of accuracy ended on 2020-01-01: known\n"


def test_one_model_that_is_wrong_to_read_does_not_stop_the_others(small):
    shutil.copy(small.folder / "net.yml", small.folder / "other.yml")
    shutil.copy(small.folder / "accuracy-check.yml", small.folder / "wrong.yml")
    small.edit("other.yml", lambda content: content.update(name="other", accuracy_checker="wrong.yml"))
    small.edit("wrong.yml", put(launcher, "adapter", "clasification"))
    small.edit("matrix.yml", lambda content: content.update(models=["other.yml", "net.yml"]))
    right = looked_at(matrix_at(small.path, [], [], {}))
    assert [each.name for each in right.models] == ["other", "net"]
    with pytest.raises(ConfigurationError, match="no adapter 'clasification'"):
        looked_at(matrix_at(small.path, ["other"], [], {}))
