"""Small matrices of one model on one dataset, with the real accuracy checker, scored at f32 in a few short trials."""

import shutil
from dataclasses import replace
from pathlib import Path

import yaml

from quantize_zoo.cell.session import CellSession
from quantize_zoo.graph import content_hash

BENCHMARK = {"nthreads": 1, "nstreams": 1, "api_type": "sync", "batch_size": 1, "duration_seconds": 0.2}
SAMPLES = 100


def session_of(cell, folder):
    """A session of a cell in this process, with its canonical model."""
    source, target = cell.model.model, folder / "models" / "net.xml"
    CellSession(cell, folder, folder).convert(source, target)
    model = cell.model.model_copy(update={"model": target})
    return CellSession(replace(cell, model=model, content=content_hash(source)[:12]), folder, folder)


def write_matrix(folder, name, adapter, dataset, calibration, **optimizer):
    """Write ``matrix.yml``, ``net.yml`` and ``checker.yml`` for the model ``net.xml``; tune on the first metric."""
    launchers = [{"framework": "openvino", "adapter": adapter}]
    checker = {"models": [{"name": name, "launchers": launchers, "datasets": [{"name": name, **dataset}]}]}
    algorithm = {"name": "TunableQuantization", "params": {"stat_subset_size": calibration, "preset": "performance"}}
    model = {
        "name": name, "model": "net.xml", "accuracy_checker": "checker.yml", "metric": dataset["metrics"][0]["name"],
        "compression": {"target_device": "CPU", "algorithms": [algorithm]},
        "optimizer": {
            "name": "Tpe", "params": {"max_trials": 3, "latency_reduce": 0.01, "benchmark": BENCHMARK, **optimizer},
        },
    }  # fmt: skip
    devices = [{"device": "CPU", "inference_precision": "f32"}]
    matrix = {"models": ["net.yml"], "devices": devices, "portability": False}
    for file, content in {"checker.yml": checker, "net.yml": model, "matrix.yml": matrix}.items():
        (folder / file).write_text(yaml.safe_dump(content))
    return folder / "matrix.yml"


class SmallMatrix:
    """A small model on the zoo's first digits, in a folder of its own; ``edit`` changes a file before it is run."""

    def __init__(self, folder: Path, zoo: Path) -> None:
        self.folder = folder
        self.reports = folder / "reports"
        self.path = folder / "matrix.yml"
        embedded = zoo / "embedded"
        images = folder / "images"
        images.mkdir()
        lines = (embedded / "data" / "digits.txt").read_text().splitlines()[:SAMPLES]
        for line in lines:
            shutil.copy(embedded / "data" / "digits" / line.split()[0], images)
        (folder / "labels.txt").write_text("\n".join(lines) + "\n")
        shutil.copy(Path(__file__).parent / "data" / "digits-small.onnx", folder / "net.onnx")
        checker = yaml.safe_load((embedded / "accuracy-check.yml").read_text())
        dataset = checker["models"][0]["datasets"][0]
        dataset["data_source"] = "images"
        dataset["annotation_conversion"]["annotation_file"] = "labels.txt"
        model = yaml.safe_load((embedded / "digits-mobilenet.yml").read_text())
        model |= {"name": "net", "model": "net.onnx"}
        del model["input_shapes"]  # the batch stays dynamic
        model["compression"]["algorithms"][0]["params"] |= {
            "stat_subset_size": 20, "tuning_scope": ["layer", "range_estimator"], "estimator_tuning_scope": ["preset"],
        }  # fmt: skip
        params = model["optimizer"]["params"]
        params |= {"max_trials": 4, "latency_reduce": 0.01, "accuracy_loss": 50}
        params["benchmark"]["duration_seconds"] = 0.2
        self._write("accuracy-check.yml", checker)
        self._write("net.yml", model)
        devices = [{"device": "CPU", "inference_precision": "f32"}]
        self._write("matrix.yml", {"models": ["net.yml"], "devices": devices, "portability": False})

    def cell_page(self):
        """The newest run's page of its only cell."""
        (page,) = (self.reports / "latest" / "cells").glob("*.html")
        return page.read_text()

    def edit(self, name, change):
        content = yaml.safe_load((self.folder / name).read_text())
        change(content)
        self._write(name, content)

    def _write(self, name, content):
        (self.folder / name).write_text(yaml.safe_dump(content, sort_keys=False))
