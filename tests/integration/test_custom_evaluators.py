"""The checker's custom evaluators of two networks: run whole, with our candidate in place of the one that is named."""

import json
import re

import cv2
import numpy as np
import openvino as ov
import pytest
import yaml
from test_accuracy import F32

from builders import plain_int8
from checker_cases import CLASSES, SIZE, clips, net, parameter, random, result, scaled
from evaluators import evaluate_custom
from matrices import BENCHMARK
from quantize_zoo.config import load_model_config
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import compile_for_accuracy, find_checker, open_session

FRAMES, WIDTH, STEPS = 4, 8, 5
LETTERS = {0: "<s>", 1: "", 2: "</s>", 3: "a", 4: "b", 5: "c"}


def dense(source, rows, columns, seed=0):
    return ops.matmul(source, ops.constant(random(rows, columns, seed=seed)), False, False)


def actions(folder):
    """Frames to features, and the features of four frames to the scores of a clip."""
    image = parameter((1, 3, SIZE, SIZE))
    convolved = ops.convolution(scaled(image), ops.constant(random(WIDTH, 3, 3, 3)), [1, 1], [1, 1], [1, 1], [1, 1])
    features = ops.reduce_mean(ops.relu(convolved), np.array([2, 3]), keep_dims=False)
    frames = parameter((1, FRAMES, WIDTH), "frames")
    flat = ops.reshape(frames, np.array([1, FRAMES * WIDTH]), False)
    hidden = ops.relu(dense(flat, FRAMES * WIDTH, 16))
    save_model(net([image], features=features), folder / "encoder.xml")
    save_model(net([frames], scores=ops.softmax(dense(hidden, 16, CLASSES), 1)), folder / "decoder.xml")
    decoder = {"num_processing_frames": FRAMES, "adapter": "classification"}
    return {
        "name": "actions",
        "module": "custom_evaluators.sequential_action_recognition_evaluator.SequentialActionRecognitionEvaluator",
        "module_config": {
            "network_info": {"encoder": {"model": "encoder.xml"}, "decoder": {"model": "decoder.xml", **decoder}},
            "launchers": [{"framework": "openvino"}],
            "datasets": [{"name": "clips", **clips(folder, FRAMES)}],
        },
    }  # fmt: skip


def texts(folder):
    """A picture to features and a first state; these and a letter to the next letter and state."""
    image = parameter((1, 1, SIZE, SIZE), "imgs")
    rows = ops.reshape(scaled(image), np.array([1, SIZE, SIZE]), False)
    features = ops.relu(dense(rows, SIZE, WIDTH))
    first = ops.reduce_mean(features, np.array([1]), keep_dims=False)
    save_model(net([image], features=features, decoder_hidden=first), folder / "encoder.xml")
    seen, hidden = parameter((1, SIZE, WIDTH), "features"), parameter((1, WIDTH), "hidden")
    letter = parameter((1,), "decoder_input", np.int64)
    before = ops.gather(ops.constant(random(len(LETTERS), WIDTH, seed=3)), letter, ops.constant(np.int64(0)))
    context = ops.reduce_mean(seen, np.array([1]), keep_dims=False)
    joined = ops.concat([hidden, before, context], 1)
    after = ops.tanh(dense(joined, 3 * WIDTH, WIDTH, seed=1))
    outputs = {"decoder_hidden": after, "decoder_output": dense(after, WIDTH, len(LETTERS), seed=2)}
    model = ov.Model([result(node, name) for name, node in outputs.items()], [seen, hidden, letter], "net")
    save_model(model, folder / "decoder.xml")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for number in range(12):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), rng.integers(0, 255, (SIZE, SIZE), np.uint8))
        lines.append(f"{number}.png,{''.join(rng.choice(list('abc'), STEPS))}")
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")
    (folder / "alphabet.txt").write_text("abc")
    dataset = {
        "name": "lines", "data_source": "images", "preprocessing": [{"type": "bgr_to_gray"}],
        "annotation_conversion": {
            "converter": "unicode_character_recognition", "annotation_file": "lines.txt",
            "decoding_char_file": "alphabet.txt",
        },
        "metrics": [{"type": "label_level_recognition_accuracy"}, {"type": "character_recognition_accuracy"}],
    }  # fmt: skip
    return {
        "name": "texts",
        "module": "custom_evaluators.custom_text_recognition_evaluator.TextRecognitionWithAttentionEvaluator",
        "module_config": {
            "model_type": "SequentialTextRecognitionModel", "custom_label_map": LETTERS, "max_seq_len": STEPS,
            "network_info": {
                "recognizer_encoder": {"model": "encoder.xml"}, "recognizer_decoder": {"model": "decoder.xml"},
            },
            "launchers": [{"framework": "openvino"}], "datasets": [dataset],
        },
    }  # fmt: skip


EVALUATORS = {"actions": actions, "texts": texts}


def config_of(evaluation, folder, quantized, metric):
    """Write the YAML of a network of the evaluator, which names the files of all others."""
    networks = evaluation["module_config"]["network_info"]
    own = {name: {key: value for key, value in each.items() if key != "model" or value != f"{quantized}.xml"}
           for name, each in networks.items()}  # fmt: skip
    entry = {**evaluation, "module_config": {**evaluation["module_config"], "network_info": own}}
    (folder / "checker.yml").write_text(yaml.safe_dump({"evaluations": [entry]}))
    algorithm = {"name": "TunableQuantization", "params": {"stat_subset_size": 6}}
    params = {"max_trials": 2, "latency_reduce": 0.01, "accuracy_loss": 99, "holdout": 0, "benchmark": BENCHMARK}
    model = {
        "name": f"{evaluation['name']}-{quantized}", "model": f"{quantized}.xml", "accuracy_checker": "checker.yml",
        "metric": metric, "optimizer": {"params": params},
        "compression": {"target_device": "CPU", "algorithms": [algorithm]},
    }  # fmt: skip
    (folder / "net.yml").write_text(yaml.safe_dump(model))
    devices = [{"device": "CPU", "inference_precision": "f32"}]
    matrix = {"models": ["net.yml"], "devices": devices, "portability": False}
    (folder / "matrix.yml").write_text(yaml.safe_dump(matrix))
    return load_model_config(folder / "net.yml")


def one_number(names, values):
    return values[names.index("mean")] if "mean" in names else np.mean(values)


@pytest.mark.parametrize("quantized", ["encoder", "decoder"])
@pytest.mark.parametrize("kind", EVALUATORS)
def test_values_are_those_of_the_evaluator(kind, quantized, tmp_path):
    evaluation = EVALUATORS[kind](tmp_path)
    metric = evaluation["module_config"]["datasets"][0]["metrics"][0]["type"]
    config = config_of(evaluation, tmp_path, quantized, metric)
    model = read_model(config.model)
    session = open_session(find_checker(), config, model)
    for candidate in (model, plain_int8(model, session.inputs(range(6)))):
        save_model(candidate, tmp_path / "candidate" / f"{quantized}.xml")
        networks = evaluation["module_config"]["network_info"]
        for each in networks.values():
            if each["model"].endswith(f"{quantized}.xml"):
                each["model"] = f"candidate/{quantized}.xml"
        theirs = {name: one_number(*found) for name, found in evaluate_custom(evaluation, tmp_path).items()}
        compiled = compile_for_accuracy(read_model(tmp_path / "candidate" / f"{quantized}.xml"), F32)
        assert session.score(compiled).metrics == pytest.approx(theirs, abs=1e-12)
        answers = session.answers(compiled, metric)
        assert answers.metrics == session.score(compiled).metrics
        assert len(set(answers.digests.tolist())) == len(session)
    part = session.score(compiled, [3, 1])
    assert part.samples == 2
    assert part.per_sample == {}


def test_a_network_of_an_evaluator_is_tuned_end_to_end(tmp_path, quantize_zoo):
    evaluation = actions(tmp_path)
    config_of(evaluation, tmp_path, "decoder", "clip_accuracy")
    assert quantize_zoo("check", tmp_path / "matrix.yml")[0] == 0
    status, _, err = quantize_zoo("run", tmp_path / "matrix.yml", "--reports", tmp_path / "reports")
    assert status == 0, err
    (cell,) = json.loads((tmp_path / "reports" / "latest" / "results.json").read_text())["cells"]
    assert cell["status"] == "done"
    theirs = evaluate_custom(evaluation, tmp_path)["clip_accuracy"]
    assert cell["reference"]["accuracy"]["value"] == pytest.approx(one_number(*theirs), abs=1e-12)


@pytest.mark.parametrize("names", [(None, None), ("a.xml", "b.xml")])
def test_it_must_be_clear_which_network_is_quantized(tmp_path, names):
    config = config_of(actions(tmp_path), tmp_path, "decoder", "clip_accuracy")
    content = yaml.safe_load((tmp_path / "checker.yml").read_text())
    networks = {part: {"model": name} if name else {} for part, name in zip(("encoder", "decoder"), names, strict=True)}
    content["evaluations"][0]["module_config"]["network_info"] = networks
    (tmp_path / "checker.yml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigurationError, match=re.escape("not one of them is the model to quantize")):
        open_session(find_checker(), config, read_model(config.model))


REFUSED = {
    "mtcnn_evaluator.MTCNNEvaluator": "custom evaluator MTCNNEvaluator keeps its networks for itself",
    "stable_diffusion_evaluator.StableDiffusionEvaluator": "custom evaluator StableDiffusionEvaluator needs",
    "no_such_evaluator.NoEvaluator": "has no custom evaluator custom_evaluators.no_such_evaluator.NoEvaluator",
    "mtcnn_evaluator.NoEvaluator": "custom evaluator NoEvaluator cannot be loaded: ",
}


@pytest.mark.parametrize("module", REFUSED)
def test_an_evaluator_that_cannot_be_wrapped_is_refused_before_a_run(tmp_path, quantize_zoo, module):
    evaluation = actions(tmp_path)
    evaluation["module"] = f"custom_evaluators.{module}"
    config_of(evaluation, tmp_path, "decoder", "clip_accuracy")
    status, out, err = quantize_zoo("check", "--fast", tmp_path / "matrix.yml")
    assert (status, out) == (2, "")
    assert "no network can be exchanged: " in err
    assert REFUSED[module] in err
    assert "quantize-zoo pot -q default --engine simplified" in err
