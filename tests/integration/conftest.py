"""A small real matrix: an embedded model, the real accuracy checker on its first images, f32, a few short trials."""

import shutil
from pathlib import Path

import pytest
import yaml

from clusters import Cluster

SAMPLES = 100


class SmallMatrix:
    """Files of a matrix in a folder of its own; ``edit`` changes one of them before it is run."""

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
        shutil.copy(embedded / "digits-mobilenet.onnx", folder / "net.onnx")
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
        self._write("matrix.yml", {"models": ["net.yml"], "devices": devices})

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


@pytest.fixture
def small(tmp_path, zoo):
    return SmallMatrix(tmp_path, zoo)


@pytest.fixture(scope="module")
def shared_small(tmp_path_factory, zoo):
    return SmallMatrix(tmp_path_factory.mktemp("small"), zoo)


@pytest.fixture(scope="module")
def longer(tmp_path_factory, zoo):
    """A small matrix with trials enough to harm some."""
    made = SmallMatrix(tmp_path_factory.mktemp("longer"), zoo)
    made.edit("net.yml", lambda model: model["optimizer"]["params"].update(max_trials=12))
    return made


@pytest.fixture
def cluster(tmp_path):
    """A Dask scheduler; workers are for the test to start."""
    made = Cluster(tmp_path)
    made.start_scheduler()
    yield made
    made.stop()
