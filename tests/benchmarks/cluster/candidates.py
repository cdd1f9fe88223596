"""What it takes until a worker has a candidate: rebuilt there from its option, or sent there as bytes.

    PYTHONPATH=tests python tests/benchmarks/cluster/candidates.py [--rounds 15]

One real Dask worker over loopback, in turns with each of two models: digits-resnet, and convolutions with 24 million
weights. Who sends has built the candidate already, which counts for nothing here. Prints medians in milliseconds.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import openvino as ov
from distributed import Client, get_worker

from builders import compression, convolution, named, parameter, pipeline
from builders import model as build_model
from conftest import ZOO
from quantize_zoo.graph import read_model
from quantize_zoo.graph.opset import opset13 as ops

CHANNELS, LAYERS = 512, 10


def large_model():
    image = parameter((1, CHANNELS, 8, 8))
    total = image
    for index in range(LAYERS):
        total = ops.relu(named(convolution(total, CHANNELS, CHANNELS, f"conv{index}", kernel=3), f"conv{index}"))
    return build_model(total, image)


MODELS = {
    "digits-resnet": lambda: read_model(ZOO / "embedded" / "digits-resnet.onnx"),
    "24 million weights": large_model,
}


def prepared(name):
    """Return the pipeline of a model, calibrated with noise: what the ranges are takes no other time."""
    model = MODELS[name]()
    image, rng = model.inputs[0], np.random.default_rng(0)
    samples = [{image.get_any_name(): rng.normal(size=image.shape).astype(np.float32)} for _ in range(10)]
    found = pipeline(model, samples, compression())
    found.prepare(found.base)
    return found


def prepare(name):
    get_worker().pipeline = prepared(name)


def rebuild(option):
    get_worker().pipeline.build(option)


def read(xml, weights):
    ov.Core().read_model(xml, weights)


def as_bytes(candidate, folder):
    path = folder / "candidate.xml"
    ov.serialize(candidate, path)
    return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def milliseconds(call):
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def compare(client, name, rounds, folder):
    here = prepared(name)
    client.submit(prepare, name, pure=False).result()
    candidate = here.build(here.base)
    weights = sum(node.get_byte_size() for node in candidate.get_ops() if isinstance(node, ov.op.Constant))
    calls = {
        "rebuilt": lambda: client.submit(rebuild, here.base, pure=False).result(),
        "as bytes": lambda: client.submit(read, *as_bytes(candidate, folder), pure=False).result(),
    }
    took = {how: [] for how in calls}
    for _ in range(rounds):
        for how, call in calls.items():
            took[how].append(milliseconds(call))
    medians = ", ".join(f"{how} {statistics.median(each):.1f} ms" for how, each in took.items())
    print(f"{name}, {weights / 1e6:.1f} MB: {medians}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder,
        Client(n_workers=1, threads_per_worker=1, dashboard_address=None) as client,
    ):
        for name in MODELS:
            compare(client, name, rounds, Path(folder))


if __name__ == "__main__":
    main()
