"""``quantize-zoo pot`` on a real model: what POT's files ask for is what comes out."""

import json
import shutil

import numpy as np
import openvino as ov
import pytest
import yaml

from builders import compression, model, parameter, pipeline, plain_int8
from quantize_zoo.config import DeviceSpec, load_model_config, load_pot
from quantize_zoo.graph import constant_value, read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.matrix import pot_matrix
from quantize_zoo.scoring import AccuracySession, compile_for_accuracy, find_checker

MODEL = {"model_name": "net", "model": "net.xml", "weights": "net.bin"}
CHECKER = {"type": "accuracy_checker", "config": "accuracy-check.yml"}
TUNABLE = {"tuning_scope": ["layer"], "stat_subset_size": 20}
TPE = {
    "max_trials": 2, "accuracy_loss": 50, "latency_reduce": 0.01, "multinode": {"name": "node"},
    "benchmark": {"nthreads": 1, "nstreams": 0, "api_type": "sync", "duration_seconds": 0.2},
}  # fmt: skip


@pytest.fixture
def pot(small, monkeypatch, quantize_zoo):
    """Run a configuration in the folder of the small matrix; return the folder and what the command gave."""
    monkeypatch.chdir(small.folder)
    save_model(read_model(small.folder / "net.onnx"), small.folder / "net.xml")

    def run(algorithms, *arguments, engine=CHECKER, dump=False, **parts):
        listed = [{"name": name, "params": params} for name, params in algorithms]
        compression = {"target_device": "CPU", "dump_intermediate_model": dump, "algorithms": listed}
        content = {"model": MODEL, "engine": engine, "compression": compression, **parts}
        (small.folder / "pot.json").write_text(json.dumps(content))
        return small.folder, *quantize_zoo("pot", "pot.json", "--output-dir", "out", *arguments)

    return run


def operations(path):
    return [node.get_type_name() for node in ov.Core().read_model(path).get_ordered_ops()]


def test_default_quantization_writes_the_model_and_evaluates_it(pot):
    folder, status, out, err = pot([("DefaultQuantization", {"stat_subset_size": 20})], "--evaluate")
    assert status == 0, err
    assert "FakeQuantize" in operations(folder / "out" / "net.xml")
    metrics = dict(line.split(": ") for line in out.splitlines())
    assert float(metrics["accuracy@top1"]) == pytest.approx(0.93, abs=0.04), "as accurate as FP32 but for a few"


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "my model", "x" * 300, "a\nb"])
def test_whatever_a_model_is_called_its_files_are_in_the_folder(pot, name):
    folder, status, _, err = pot([("MinMaxQuantization", {"stat_subset_size": 2})], "--name", name)
    assert status == 0, err
    (written,) = (folder / "out").glob("*.xml")
    assert str(written.relative_to(folder)) in err
    assert operations(written)


def test_a_search_takes_a_model_whose_file_has_a_space_in_its_name(pot):
    shutil.copy("net.xml", "my net.xml")
    shutil.copy("net.bin", "my net.bin")
    model = {"model": "my net.xml", "weights": "my net.bin"}
    optimizer = {"name": "Tpe", "params": {**TPE, "max_trials": 1}}
    folder, status, _, err = pot([("TunableQuantization", TUNABLE)], model=model, optimizer=optimizer)
    assert status == 0, err
    assert len(list((folder / "out").glob("my-net-*.xml"))) == 1


def test_intermediate_model_is_the_quantized_one_before_bias_correction(pot):
    algorithms = [("MinMaxQuantization", {"stat_subset_size": 20}), ("FastBiasCorrection", {"stat_subset_size": 20})]
    folder, status, _, err = pot(algorithms, dump=True)
    assert status == 0, err
    final, intermediate = folder / "out" / "net.xml", folder / "out" / "optimized" / "net.xml"
    assert operations(intermediate) == operations(final)
    weights = [path.with_suffix(".bin").read_bytes() for path in (final, intermediate)]
    assert weights[0] != weights[1]


def test_default_quantization_corrects_biases_by_pots_rule(pot):
    folder, status, _, err = pot([("DefaultQuantization", {"stat_subset_size": 20})])
    assert status == 0, err
    found = ov.Core().read_model(folder / "out" / "net.xml")
    expected, other = (default_quantization(folder, compatibility) for compatibility in ("pot", None))
    assert biases(found) == biases(expected)
    assert biases(found) != biases(other)


def default_quantization(folder, compatibility):
    """What the pipeline itself makes of the same samples, saved as the command's model was."""
    config = load_model_config(folder / "net.yml")
    model = read_model(folder / "net.xml")
    samples = AccuracySession(find_checker(), config, model).inputs(range(20))
    params = compression(before=["ActivationChannelAlignment"], after=["FastBiasCorrection"])
    built = pipeline(model, samples, params, compatibility=compatibility)
    return built.build(built.base)


def biases(model):
    """The constants of additions, by name."""
    found = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Add":
            value = constant_value(node.input_value(1))
            found[node.get_friendly_name()] = None if value is None else value.ravel().tolist()
    return found


def test_simplified_engine_calibrates_on_a_folder_of_images(pot, small):
    images = small.folder / "images"
    (images / "notes.txt").write_text("no picture")
    (images / "a-cut.png").write_bytes(min(images.glob("*.png")).read_bytes()[:100])
    engine = {"type": "simplified", "data_source": "images"}
    folder, status, _, err = pot([("MinMaxQuantization", {})], "--name", "other", engine=engine)
    assert status == 0, err
    assert "FakeQuantize" in operations(folder / "out" / "other.xml")
    assert err.count("images/a-cut.png: the picture cannot be read, and is left out") == 1
    assert "notes.txt" not in err


def test_simplified_engine_feeds_what_the_checker_feeds_without_normalization(pot):
    """The same ranges from a folder of images and from the checker, whose preprocessing resizes only."""
    resized = {"name": "net", "launchers": [{"framework": "openvino", "adapter": "classification"}]}
    dataset = {
        "name": "digits", "data_source": "images", "preprocessing": [{"type": "resize", "size": 48}],
        "annotation_conversion": {"converter": "imagenet", "annotation_file": "labels.txt"},
        "metrics": [{"type": "accuracy"}],
    }  # fmt: skip
    folder, status, _, err = pot([("MinMaxQuantization", {})], engine={**resized, "datasets": [dataset]})
    assert status == 0, err
    shutil.move(folder / "out", folder / "first")
    status, err = pot([("MinMaxQuantization", {})], engine={"type": "simplified", "data_source": "images"})[1::2]
    assert status == 0, err
    first, second = (ranges(folder / name / "net.xml") for name in ("first", "out"))
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, rtol=1e-5, err_msg=name)


def ranges(path):
    return {
        node.get_friendly_name(): node.input_value(2).get_node().data.ravel()
        for node in ov.Core().read_model(path).get_ordered_ops()
        if node.get_type_name() == "FakeQuantize"
    }


def test_tpe_searches_and_writes_the_best_model(pot):
    optimizer = {"name": "Tpe", "params": TPE}
    folder, status, out, err = pot([("TunableQuantization", TUNABLE)], optimizer=optimizer)
    assert status == 0, err
    assert "multinode is ignored" in err
    assert "net-CPU" in out
    assert "FakeQuantize" in operations(folder / "out" / "net.xml")
    assert (folder / "out" / "reports" / "latest" / "index.html").is_file()


AWARE = "AccuracyAwareQuantization"
CLIPPED = {"activations": {"range_estimator": {"max": {"clipping_value": 0.2}}}}  # costs accuracy


def test_accuracy_aware_quantization_gives_layers_back_and_says_what_it_lost(pot):
    params = {**CLIPPED, "stat_subset_size": 20, "maximal_drop": 0.01, "max_iter_num": 2}
    folder, status, out, err = pot([(AWARE, params)])
    assert status == 0, err
    results = json.loads((folder / "out" / "reports" / "latest" / "results.json").read_text())
    (cell,) = results["cells"]
    quantized = [each["score"]["quantization_ratio"] for each in cell["trials"]]
    assert quantized[0] == 1
    assert quantized[-2:] == sorted(set(quantized[-2:]), reverse=True) != quantized[:1], quantized
    assert min(quantized) == quantized[-1] < 1
    assert cell["verdict"]["targets"][0]["status"] == "missed"
    assert "FakeQuantize" in operations(folder / "out" / "net.xml")
    assert "net-CPU" in out


@pytest.mark.parametrize(
    ("params", "fp32"),
    [
        ({"drop_type": "relative"}, 1.0),
        ({"metrics": [{"name": "accuracy@top3", "baseline_value": 0.5}]}, 0.5),
        ({}, None),
    ],
)
def test_a_drop_is_a_share_of_the_fp32_models_metric(small, monkeypatch, params, fp32):
    monkeypatch.chdir(small.folder)
    algorithm = {"name": AWARE, "params": {"maximal_drop": 0.02, **params}}
    content = {"model": {"model": "net.onnx"}, "engine": CHECKER, "compression": {"algorithms": [algorithm]}}
    (small.folder / "pot.json").write_text(json.dumps(content))
    (config,) = pot_matrix(load_pot(small.folder / "pot.json")).models
    if fp32 is None:
        net = read_model(small.folder / "net.onnx")
        session = AccuracySession(find_checker(), config, net)
        fp32 = session.score(compile_for_accuracy(net, DeviceSpec(device="CPU"))).metrics[config.metric]
    assert config.optimizer.params.accuracy_loss == pytest.approx(100 * 0.02 / fp32, abs=1e-8)
    assert config.metric == ("accuracy@top3" if "metrics" in params else "accuracy@top1")


def test_an_accuracy_aware_search_says_how_many_trials_it_can_have(small, monkeypatch):
    monkeypatch.chdir(small.folder)

    def limits(**params):
        algorithm = {"name": AWARE, "params": {"maximal_drop": 0.02, "drop_type": "relative", **params}}
        content = {"model": {"model": "net.onnx"}, "engine": CHECKER, "compression": {"algorithms": [algorithm]}}
        (small.folder / "pot.json").write_text(json.dumps(content))
        (config,) = pot_matrix(load_pot(small.folder / "pot.json")).models
        return [stage.max_trials for stage in config.optimizer.params.stages]

    whole, layers = limits()
    assert whole == 3  # the base, without channel alignment, without bias correction
    assert layers == 1 + 3 * 9  # each layer twice, and back
    assert limits(max_iter_num=2) == [whole, 1 + 2 + 2]
    assert limits(max_iter_num=2, base_algorithm="MinMaxQuantization") == [1 + 2 + 2]
    assert limits(convert_to_mixed_preset=True)[0] > whole


# What a job of POT is refused for, before anything is written.
REFUSED = {
    "annotation": (
        ["-q", "accuracy_aware", "--max-drop", "0.1", "-m", "net.xml", "-w", "net.bin", "--ac-config", "missing.yml"],
        "missing.yml", "annotation_file: there is no",
    ),
    "annotation_to_calibrate": (
        ["-q", "default", "-m", "net.xml", "-w", "net.bin", "--ac-config", "missing.yml"],
        "missing.yml", "annotation_file: there is no",
    ),
    "larger_weights": (
        ["-q", "default", "-m", "net.xml", "-w", "other.bin", "--ac-config", "accuracy-check.yml"],
        "-w ", "other.bin does not belong to -m ",
    ),
    "smaller_weights": (
        ["-q", "default", "-m", "other.xml", "-w", "net.bin", "--engine", "simplified", "--data-source", "images"],
        "-w ", "net.bin does not belong to -m ",
    ),
    "labels_in_a_list": (
        ["-q", "default", "-m", "net.xml", "-w", "net.bin", "--engine", "simplified", "--data-source", "images.txt"],
        "images.txt:1: ", "remove what follows it",
    ),
    "two_inputs": (
        ["-q", "default", "-m", "two.xml", "-w", "two.bin", "--engine", "data_free"],
        "engine: ", "the model has 2 inputs",
    ),
    "quantized": (
        ["-q", "default", "-m", "int8.xml", "-w", "int8.bin", "--ac-config", "accuracy-check.yml"],
        "int8.xml: ", "model 'int8' is quantized already",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_used_is_refused_before_anything_is_written(command, small, kind):
    given, where, message = REFUSED[kind]
    lines = (small.folder / "labels.txt").read_text().splitlines()
    (small.folder / "images.txt").write_text("".join(f"images/{line}\n" for line in lines))
    content = yaml.safe_load((small.folder / "accuracy-check.yml").read_text())
    content["models"][0]["datasets"][0]["annotation_conversion"]["annotation_file"] = "nope.txt"
    (small.folder / "missing.yml").write_text(yaml.safe_dump(content))
    net = read_model(small.folder / "net.xml")
    save_model(plain_int8(net, [{"image": np.zeros((1, 3, 48, 48), np.float32)}]), small.folder / "int8.xml")
    image, vector = parameter((1, 3, 48, 48)), parameter((1, 5), "vector")
    weights = ops.constant(np.ones((3 * 48 * 48, 500), np.float32))
    flat = ops.matmul(ops.reshape(image, np.array([1, -1]), False), weights, False, False)
    save_model(model(flat, image), small.folder / "other.xml")
    save_model(model(ops.concat([flat, vector], 1), image, vector), small.folder / "two.xml")
    before = sorted(small.folder.rglob("*"))
    status, out, err = command(*given)
    assert (status, out) == (2, "")
    assert where in err
    assert message in err
    assert len(err.splitlines()) <= 4
    assert sorted(small.folder.rglob("*")) == before


def test_a_folder_that_is_a_file_is_named_by_its_own_option(command, small):
    (small.folder / "out").touch()
    given = ["-q", "default", "-m", "net.xml", "-w", "net.bin", "--engine", "data_free"]
    status, _, err = command(*given)
    assert status == 2
    assert "name another with --output-dir" in err
    assert "--reports" not in err


@pytest.fixture
def command(small, monkeypatch, quantize_zoo):
    """Run POT's command line in the folder of the small matrix."""
    monkeypatch.chdir(small.folder)
    save_model(read_model(small.folder / "net.onnx"), small.folder / "net.xml")
    return lambda *arguments: quantize_zoo("pot", *arguments, "--output-dir", "out")


def test_the_command_line_needs_no_file(command, small):
    given = [
        "-q",
        "default",
        "-m",
        "net.xml",
        "-w",
        "net.bin",
        "--ac-config",
        "accuracy-check.yml",
        "--preset",
        "mixed",
    ]
    status, out, err = command(*given, "-n", "other", "-e", "-d", "--stream-output", "--log-level", "DEBUG")
    assert status == 0, err
    assert "FakeQuantize" in operations(small.folder / "out" / "optimized" / "other.xml")
    assert "accuracy@top1: " in out
    assert "--stream-output is ignored" in err


def test_weights_of_another_name_are_read(command, small):
    small.folder.joinpath("net.bin").rename(small.folder / "weights.bin")
    given = ["-q", "default", "-m", "net.xml", "-w", "weights.bin", "--engine", "simplified", "--data-source", "images"]
    status, _, err = command(*given)
    assert status == 0, err
    assert "the model's first layers hold no normalization" in err
    assert "FakeQuantize" in operations(small.folder / "out" / "net.xml")


def test_errors_alone_are_printed_if_asked_for(command):
    given = ["-q", "default", "-m", "net.xml", "-w", "net.bin", "--engine", "data_free", "--log-level", "ERROR"]
    status, _, err = command(*given)
    assert status == 0, err
    assert "warning" not in err


def test_data_without_annotation_calibrate_and_are_no_accuracy(pot, small):
    def plain(checker):
        (dataset,) = checker["models"][0]["datasets"]
        del dataset["annotation_conversion"], dataset["metrics"]

    small.edit("accuracy-check.yml", plain)
    folder, status, _, err = pot([("DefaultQuantization", {"stat_subset_size": 10})])
    assert status == 0, err
    assert "FakeQuantize" in operations(folder / "out" / "net.xml")
    for arguments, algorithm in ((["-e"], "DefaultQuantization"), ([], AWARE)):
        _, status, _, err = pot([(algorithm, {})], *arguments)
        assert status == 2
        assert "names no metric" in err


def test_metrics_without_annotation_are_no_accuracy(pot, small):
    small.edit("accuracy-check.yml", lambda checker: checker["models"][0]["datasets"][0].pop("annotation_conversion"))
    _, status, _, err = pot([(AWARE, {})])
    assert status == 2
    assert "dataset 'digits' has no annotation" in err


def test_datasets_of_their_own_calibrate_and_evaluate(pot, small):
    resize = [{"type": "resize", "size": 48}]
    scored = {
        "name": "scored", "data_source": "images", "metrics": [{"type": "accuracy", "name": "top1"}],
        "annotation_conversion": {"converter": "imagenet", "annotation_file": "labels.txt"},
    }  # fmt: skip
    (small.folder / "few").mkdir()
    for image in sorted((small.folder / "images").iterdir())[:5]:
        shutil.copy(image, small.folder / "few")
    engine = {
        "launchers": [{"framework": "openvino", "adapter": "classification"}],
        "datasets": {
            "preprocessing": resize,
            "optimization": {"name": "few", "data_source": "few"},
            "evaluation": scored,
        },
    }
    folder, status, out, err = pot([("MinMaxQuantization", {})], "-e", engine=engine)
    assert status == 0, err
    assert "top1: " in out
    shutil.move(folder / "out", folder / "first")
    simplified = {"type": "simplified", "data_source": "few"}
    _, status, _, err = pot([("MinMaxQuantization", {})], engine=simplified)
    assert status == 0, err
    first, second = (ranges(folder / name / "net.xml") for name in ("first", "out"))
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"type": "simplified", "data_source": "empty"}, "no readable image in empty"),
        ({"type": "simplified", "data_source": "images", "layout": "NHWC"}, "which is no image in NHWC"),
    ],
)
def test_images_that_cannot_be_used(pot, small, engine, message):
    (small.folder / "empty").mkdir()
    (small.folder / "empty" / "notes.txt").write_text("no image")
    folder, status, _, err = pot([("MinMaxQuantization", {})], engine=engine)
    assert status == 2
    assert message in err
    assert not (folder / "out").exists()


@pytest.mark.parametrize("arguments", [["--evaluate"], []])
def test_simplified_engine_has_no_metric(pot, arguments):
    optimizer = {} if arguments else {"optimizer": {"name": "Tpe", "params": TPE}}
    engine = {"type": "simplified", "data_source": "images"}
    _, status, _, err = pot([("TunableQuantization", TUNABLE)], *arguments, engine=engine, **optimizer)
    assert status == 2
    assert "use the accuracy_checker engine" in err


PICTURES = {"type": "simplified", "data_source": "images"}
MISPLACED = {
    "ignored_name": (CHECKER, {"ignored": {"scope": ["nope"]}}, '"nope"', "the model has no operation 'nope'"),
    "ignored_type": (CHECKER, {"ignored": {"operations": [{"type": "Conv"}]}}, '"Conv"', "unknown type 'Conv'"),
    "folder": ({**CHECKER, "source": "nowhere"}, {}, '"engine"', "source should be a directory"),
    "bits": (PICTURES, {"weights": {"mode": "symmetric", "bits": 3}}, '"bits"', "weights: bits 3, mode symmetric"),
    "pictures": ({**PICTURES, "data_source": "empty"}, {}, '"empty"', "no readable image in empty"),
    "layout": ({**PICTURES, "layout": "NHWC"}, {}, '"NHWC"', "which is no image in NHWC"),
    "shape": ({"type": "data_free", "shape": [1, 3, 8, 8]}, {}, '"shape"', "engine.shape is (1, 3, 8, 8), which"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISPLACED)
def test_what_the_model_refuses_has_the_line_of_the_file(command, small, kind):
    engine, params, sign, message = MISPLACED[kind]
    (small.folder / "empty").mkdir()
    algorithms = [{"name": "DefaultQuantization", "params": params}]
    text = json.dumps({"model": MODEL, "engine": engine, "compression": {"algorithms": algorithms}}, indent=1)
    (line,) = [number for number, each in enumerate(text.splitlines(), 1) if sign in each]
    (small.folder / "pot.json").write_text(f"{text} // comments are POT's")
    status, _, err = command("pot.json")
    assert status == 2
    assert f"pot.json:{line}: " in err
    assert message in err
    assert not (small.folder / "out").exists()


def test_fewer_samples_than_asked_for_are_told_with_their_line(command, small):
    entry = yaml.safe_load((small.folder / "accuracy-check.yml").read_text())["models"][0]
    engine = {key: entry[key] for key in ("launchers", "datasets")}
    engine["datasets"][0]["subsample_size"] = 5000
    algorithms = [{"name": "MinMaxQuantization", "params": {"stat_subset_size": 2}}]
    text = json.dumps({"model": MODEL, "engine": engine, "compression": {"algorithms": algorithms}}, indent=1)
    (line,) = [number for number, each in enumerate(text.splitlines(), 1) if "subsample_size" in each]
    (small.folder / "pot.json").write_text(text)
    status, _, err = command("pot.json")
    assert status == 0, err
    assert f"warning: pot.json:{line}: 5000 samples are asked for, and there are " in err
    assert "UserWarning" not in err
