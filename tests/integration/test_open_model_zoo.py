"""Open Model Zoo's route with openvino-dev's own downloader and converter.

No network is reached: a stand-in for the zoo's file server on loopback serves an embedded model, which a model.yml
written like the zoo's describes.
"""

import hashlib
import http.server
import json
import threading
from functools import partial

import numpy as np
import pytest
import yaml
from test_accuracy import F32

from quantize_zoo.config import load_model_config, load_pot_compression
from quantize_zoo.graph import read_model
from quantize_zoo.scoring import AccuracySession, compile_for_accuracy, find_checker, read_definitions
from quantize_zoo.zoo import check_checker_file, complete_model, definitions_file, zoo_checker_files
from quantize_zoo.zoo.open_model_zoo import zoo_files

SAMPLES = 100


class StandInServer:
    """Counts what it is asked for."""

    def __init__(self, folder):
        requests = self.requests = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, text, *arguments):
                requests.append(self.path)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(zoo):
    server = StandInServer(zoo / "embedded")
    yield server
    server.stop()


@pytest.fixture
def omz(tmp_path, zoo, server, monkeypatch):
    """A folder of one model.yml, with mean, scale and channel order put into the model as the zoo does it."""
    folder = tmp_path / "models" / "public" / "digits-like"
    folder.mkdir(parents=True)
    content = (zoo / "embedded" / "digits-mobilenet.onnx").read_bytes()
    description = {
        "description": "a stand-in",
        "task_type": "classification",
        "files": [
            {
                "name": "digits-mobilenet.onnx",
                "size": len(content),
                "checksum": hashlib.sha384(content).hexdigest(),
                "source": f"{server.url}/digits-mobilenet.onnx",
            }
        ],
        "framework": "onnx",
        "input_info": [{"name": "image", "shape": [1, 3, 48, 48], "layout": "NCHW"}],
        "model_optimizer_args": [
            "--mean_values=image[127.5,127.5,127.5]",
            "--scale_values=image[63.75]",
            "--reverse_input_channels",
            "--output=probabilities",
            "--input_model=$dl_dir/digits-mobilenet.onnx",
        ],
        "license": "https://127.0.0.1/LICENSE",
    }
    (folder / "model.yml").write_text(yaml.safe_dump(description))
    checker = yaml.safe_load((zoo / "embedded" / "accuracy-check.yml").read_text())
    dataset = checker["models"][0]["datasets"][0]
    dataset["preprocessing"] = [{"type": "resize", "size": 48}]
    dataset["subsample_size"] = SAMPLES
    (folder / "accuracy-check.yml").write_text(yaml.safe_dump(checker))
    monkeypatch.setenv("QUANTIZE_ZOO_OMZ_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("QUANTIZE_ZOO_OMZ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DATA_DIR", str(zoo / "embedded"))
    monkeypatch.setenv("ANNOTATIONS_DIR", str(zoo / "embedded"))
    params = {"max_trials": 2, "accuracy_loss": 50, "latency_reduce": 0.01, "benchmark": {"duration_seconds": 0.2}}
    model = {"name": "digits-like", "model": "omz:digits-like", "optimizer": {"params": params}}
    (tmp_path / "model.yml").write_text(yaml.safe_dump(model))
    return tmp_path


def test_model_is_downloaded_converted_and_tuned(omz, zoo, server, quantize_zoo):
    status, out, err = quantize_zoo("run", omz / "model.yml", "--reports", omz / "reports", "--json")
    assert status == 0, err
    assert server.requests.count("/digits-mobilenet.onnx") == 1
    cell = json.loads(out)["cells"][0]
    assert cell["reference"]["metric"] == "accuracy@top1"
    # Mean and scale are in the model now, so it scores as the embedded one does with the checker's normalization.
    assert cell["reference"]["samples"] + cell["reference"]["holdout_samples"] == SAMPLES
    own = read_model(zoo / "embedded" / "digits-mobilenet.onnx")
    converted = read_model(omz / "cache" / "public" / "digits-like" / "FP32" / "digits-like.xml")
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, 48, 48)).astype(np.float32)
    mirrored = ((image[:, ::-1] - 127.5) / 63.75).astype(np.float32)
    outputs = [compile_for_accuracy(model, F32)(data)[0] for model, data in ((own, mirrored), (converted, image))]
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-6)
    # The second run finds the model in the cache.
    assert quantize_zoo("run", omz / "model.yml", "--reports", omz / "reports")[0] == 0
    assert server.requests.count("/digits-mobilenet.onnx") == 1


def test_download_without_network_fails_the_cell_and_says_so(omz, server, quantize_zoo):
    server.stop()
    status, _, err = quantize_zoo("run", omz / "model.yml", "--reports", omz / "reports")
    assert status == 3
    assert "downloading digits-like failed" in err
    assert "check the network, or put the model's files into" in err


def test_what_the_converter_cannot_do_is_told(omz, quantize_zoo):
    path = omz / "models" / "public" / "digits-like" / "model.yml"
    description = yaml.safe_load(path.read_text())
    description["model_optimizer_args"].append("--transformations_config=ssd_v2_support.json")
    path.write_text(yaml.safe_dump(description))
    status, _, err = quantize_zoo("run", omz / "model.yml", "--reports", omz / "reports")
    assert status == 3
    assert "--transformations_config is not supported by OpenVINO's converter" in err
    assert "convert it with openvino-dev 2023.3" in err


def test_unknown_zoo_model_names_the_near_ones(omz, quantize_zoo):
    (omz / "model.yml").write_text("name: x\nmodel: omz:digits-lake\n")
    status, _, err = quantize_zoo("check", omz / "model.yml")
    assert status == 2
    assert "no model 'digits-lake'" in err
    assert "did you mean digits-like?" in err


def test_zoo_matrices_load_and_take_the_zoos_own_files(zoo, quantize_zoo):
    for matrix, cells in (("tpe", 8), ("classification", 12)):
        status, out, err = quantize_zoo("check", zoo / "open_model_zoo" / f"{matrix}.yml", "--json")
        assert status == 0, err
        assert len(json.loads(out)["cells"]) == cells
    config = complete_model(load_model_config(zoo / "open_model_zoo" / "faster_rcnn_resnet50_coco.yml"))
    assert config.metric == "coco_precision"
    assert config.compression == load_pot_compression(zoo_files("faster_rcnn_resnet50_coco").quantization)
    assert config.compression.steps == ("ActivationChannelAlignment", "FastBiasCorrection")
    assert config.compression.tunable.ignored.scope == ("proposals/conv",)


def test_every_accuracy_check_file_of_the_zoo_is_read(quantize_zoo):
    status, out, err = quantize_zoo("check", "--open-model-zoo", "--json")
    assert status == 0
    assert "Traceback" not in err
    findings = json.loads(out)
    files = list(zoo_checker_files())
    assert {finding["file"].rsplit(":", 1)[0] for finding in findings} == {str(file) for file in files}
    good = [finding for finding in findings if not finding["problem"]]
    assert len(files) > 250
    assert len(good) > 250
    reasons = ("custom evaluator", "another framework", "dataset ", "the accuracy checker has no ")
    problems = [finding["problem"] for finding in findings if finding["problem"]]
    assert all(any(reason in problem for reason in reasons) for problem in problems)
    unknown = [fault for finding in good for fault in finding["faults"]]
    assert all(fault["what"].startswith("unknown key ") for fault in unknown)


def test_unknown_adapter_is_found(tmp_path):
    shared = read_definitions(definitions_file())
    (path,) = (file for file in zoo_checker_files() if file.parent.name == "mobilenet-v2-pytorch")
    # The first entry is onnx_runtime's, which OpenVINO scores.
    assert [finding.problem for finding in check_checker_file(path, shared)] == ["", ""]
    broken = yaml.safe_load(path.read_text())
    broken["models"][1]["launchers"][0]["adapter"] = "classificatoin"
    (tmp_path / "accuracy-check.yml").write_text(yaml.safe_dump(broken))
    (finding,) = (found for found in check_checker_file(tmp_path / "accuracy-check.yml", shared) if found.problem)
    assert finding.problem == "the accuracy checker has no adapter 'classificatoin'"


def test_definitions_complete_a_dataset_by_name(small):
    """As with the checker's own option: what the entry leaves out comes from the definitions."""
    content = yaml.safe_load((small.folder / "accuracy-check.yml").read_text())
    dataset = content["models"][0]["datasets"][0]
    shared = {"datasets": [dict(dataset)]}
    content["models"][0]["datasets"] = [{"name": dataset["name"]}]
    (small.folder / "accuracy-check.yml").write_text(yaml.safe_dump(content))
    (small.folder / "definitions.yml").write_text(yaml.safe_dump(shared))
    small.edit("net.yml", lambda model: model.update(definitions="definitions.yml"))
    config = load_model_config(small.folder / "net.yml")
    session = AccuracySession(find_checker(), config, read_model(config.model))
    assert len(session) == 100
