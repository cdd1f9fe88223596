"""Small models in code, and values that several tests need."""

import contextlib
import math
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import openvino as ov

from quantize_zoo.config import (
    CompressionParams,
    HardwareConfig,
    OptimizerParams,
    QuantizationConfig,
    hardware_path,
    load_hardware,
)
from quantize_zoo.graph import constant_value, find_placement, nodes_by_name, with_own_names
from quantize_zoo.graph.operations import WEIGHTED
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.matrix.baselines import baseline_content
from quantize_zoo.quantization import (
    ModelOption,
    OperationOption,
    Pipeline,
    TensorOption,
    collect_statistics,
    option_hash,
    preset_estimator,
    quantization_ratio,
)
from quantize_zoo.quantization.candidate import insert_fake_quantizes
from quantize_zoo.quantization.range_finder import RangeFinder
from quantize_zoo.scoring import Answers, Contents, Environment, Estimate, Execution, PairedLatency, write_answers
from quantize_zoo.search import Built, Measurement, Score, Scored, Seconds, Timed, Trial, evaluate
from quantize_zoo.store import CellRecord, Final, Reference, StoredBaseline

SYMMETRIC = QuantizationConfig(bits=8, mode="symmetric", granularity="pertensor")


def named(node, name):
    node.set_friendly_name(name)
    return node


def convolution(source, channels_in, channels_out, name, kernel=1, dtype=np.float32):
    values = np.random.default_rng(len(name)).normal(size=(channels_out, channels_in, kernel, kernel)).astype(dtype)
    weights = ops.constant(values)
    if dtype != np.float32:
        weights = ops.convert(weights, "f32")
    pads = [kernel // 2] * 2
    return named(ops.convolution(source, weights, [1, 1], pads, pads, [1, 1]), name)


def parameter(shape=(1, 3, 8, 8), name="image"):
    node = named(ops.parameter(shape if isinstance(shape, ov.PartialShape) else list(shape), np.float32), name)
    node.output(0).set_names({name})
    return node


def model(result, *parameters):
    return ov.Model([ops.result(result)], list(parameters), "test")


def residual_model():
    """Two convolutions, the second in a residual branch, then pooling, Reshape and a fully connected layer."""
    image = parameter()
    first = named(ops.relu(convolution(image, 3, 8, "first")), "relu")
    branch = convolution(first, 8, 8, "branch", kernel=3)
    bias = named(ops.add(branch, ops.constant(np.ones((1, 8, 1, 1), np.float32))), "bias")
    total = named(ops.add(first, bias), "add")
    pooled = named(ops.reduce_mean(total, np.array([2, 3]), keep_dims=True), "pool")
    flat = named(ops.reshape(pooled, np.array([0, -1]), special_zero=True), "flat")
    weights = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    scores = named(ops.matmul(flat, ops.constant(weights), False, True), "scores")
    return model(scores, image)


def estimate(value, half=0.01, unit="x", samples=100):
    return Estimate(value, value - half, value + half, unit, samples)


def latency(ratio, half=0.01):
    return PairedLatency(estimate(100.0, 1, "us"), estimate(100.0 / ratio, 1, "us"), estimate(ratio, half))


EXECUTION = Execution("f32", {"avx2": 4}, {"u8": 3, "f32": 1})


def option(*quantized, total=4):
    activations = TensorOption(SYMMETRIC, preset_estimator(SYMMETRIC, "default", weights=False))
    weights = TensorOption(SYMMETRIC, preset_estimator(SYMMETRIC, "default", weights=True))
    operations = {f"op{index}": OperationOption(index in quantized, activations, weights) for index in range(total)}
    return ModelOption(operations)


def measurement(accuracy, ratio, half=0.01):
    metrics = {"accuracy@top1": accuracy}
    return Measurement(estimate(accuracy, 0.01, ""), metrics, latency(ratio, half), EXECUTION)


class Scorer:
    """Implements ``Candidates``: scores options by functions of how many operations are quantized; counts."""

    def __init__(self, accuracy=lambda count: 0.99, ratio=lambda count: 1.0 + count / 10, fail=lambda count: None):
        self._accuracy, self._ratio, self._fail = accuracy, ratio, fail
        self.built, self.scored, self.measured, self.prune, self.below = [], [], [], [], []

    def build(self, chosen):
        self.built.append(chosen)
        count = sum(choice.quantize for choice in chosen.operations.values())
        self._fail(len(self.built))
        places = "".join("01"[choice.quantize] for choice in chosen.operations.values())
        return Built(option_hash(chosen), places, 0.0), count

    def score(self, count, *, below=math.inf):
        self.scored.append(count)
        self.prune.append(below < math.inf)
        self.below.append(below)
        value = self._accuracy(count)
        found = measurement(value if math.isfinite(value) else 1, 1)
        found = replace(found, accuracy=replace(found.accuracy, value=value))
        return Scored(found.accuracy, found.metrics, None, False, 0.0, 0.0)

    def measure(self, count):
        self.measured.append(count)
        return Timed(latency(self._ratio(count)), EXECUTION, 0.0, 0.0)


class Alone:
    """Implements ``EvaluationPool`` with one place, in this thread."""

    def __init__(self, candidates):
        self._candidates = candidates

    def capacity(self):
        return 1

    def busy(self):
        return contextlib.nullcontext()

    def submit(self, option, known, *, prune):
        future = Future()
        try:
            future.set_result(evaluate(self._candidates, option, known, prune=prune))
        except Exception as error:
            future.set_exception(error)
        return future


def trial(number, accuracy_loss, ratio, chosen=None, **changes):
    chosen = chosen if chosen is not None else option(number % 4)
    values = {
        "kind": "base" if number == 0 else "search", "option": chosen, "option_hash": option_hash(chosen),
        "measurement": measurement(1 - accuracy_loss, ratio), "loss": float(-ratio), "reused_from": None,
        "score": Score(accuracy_loss, ratio, quantization_ratio(chosen)), "failure": None,
        "seconds": Seconds(0.01, 0.1, 0.3, 0.5, 0.02), "candidate": f"c{number}",
        "structure": f"s{number}",
    }  # fmt: skip
    return Trial(number=number, **{**values, **changes})


def reference(**changes):
    environment = Environment("Test CPU", 2, ("avx2",), "AVX2", "Linux", "3.11", "2026.4", "2.4", "0.3", "0.1")
    values = {
        "identity": {"model content": "abc", "dataset": "10 samples"}, "metric": "accuracy@top1",
        "accuracy": estimate(1.0, 0.01, ""),
        "metrics": {"accuracy@top1": 1.0}, "execution": EXECUTION, "environment": environment, "checker": "0.9.5",
        "samples": 1000, "calibration_samples": 300, "operation_types": {f"op{i}": "Convolution" for i in range(4)},
        "seconds": 1.0, "holdout_samples": 300,
    }  # fmt: skip
    return Reference(**{**values, **changes})


def cell_record(trials=(), final=None, **changes):
    values = {
        "id": 1, "run_id": "run", "model": "net", "device": "CPU", "status": "done", "method": "cold_start",
        "params": OptimizerParams(accuracy_loss=1.0, latency_reduce=1.2), "error": None, "reference": reference(),
        "calibration_seconds": 0.5, "final": final, "trials": tuple(trials),
    }  # fmt: skip
    return CellRecord(**{**values, **changes})


def final(number, ratio, half=0.01):
    return Final(number, latency(ratio, half), "models/net-CPU.xml")


def accepted(cell, number=1, **changes):
    """A finished cell as a stored baseline."""
    content = replace(baseline_content(cell, cell.reference, cell.final), accepted_by="me", **changes)
    return StoredBaseline(number, datetime(2026, 1, 1, tzinfo=timezone.utc), None, content)


def write_some_answers(path):
    """Write what two models answered for two samples, for a metric without values of single ones."""
    names, numbers = np.array(["a.png", "b.png"]), np.array([1, 2], dtype=np.uint64)
    texts = np.array(["0", "1"])
    answers = Answers("accuracy@top1", {"accuracy@top1": 0.5}, names, numbers, texts, None)
    contents = Contents(names, numbers, numbers, texts, np.array([True, False]))
    write_answers(path, {"fp32": answers, "int8": answers}, contents)


def compression(**params):
    """The steps ``before``, TunableQuantization with these parameters, and the steps ``after``."""
    before, after = params.pop("before", ()), params.pop("after", ())
    names = [*before, "TunableQuantization", *after]
    algorithms = [{"name": name, "params": params if name == "TunableQuantization" else {}} for name in names]
    return CompressionParams.model_validate({"algorithms": algorithms})


def pipeline(model, samples, params=None, target="CPU", compatibility=None):
    """The pipeline of a model, whose names are made its own; statistics are collected each time, without a file."""
    made = Pipeline(
        with_own_names(model),
        "net",
        load_hardware(hardware_path(target)),
        params or compression(),
        lambda variant, requests, size, _: collect_statistics(variant, requests, samples[:size]),
        lambda size: samples[:size],
        compatibility=compatibility,
    )
    made.leave_untaken_branches()
    return made


def plain_int8(fp32, samples):
    """The fully quantized model of preset performance for CPU."""
    built = pipeline(fp32, samples)
    return built.build(built.base)


def switched_off(base, *names):
    """The option with these operations not quantized."""
    changed = {
        name: replace(choice, quantize=choice.quantize and name not in names)
        for name, choice in base.operations.items()
    }
    return replace(base, operations=changed)


def compressed_everywhere(fp32, of_types, otherwise):
    """The model whose weights are all compressed: those of operations of some types in ways of their own.

    What does not fit an operation's weights leaves them as they are.
    """
    ways_of = dict.fromkeys((*WEIGHTED, "Embedding"), otherwise) | of_types
    rules = [
        {"types": [kind], "activations": [SYMMETRIC], "weights": [SYMMETRIC], "compressed_weights": [way]}
        for kind, way in ways_of.items()
    ]
    placement = find_placement(fp32, HardwareConfig.model_validate({"target": "CPU", "operations": rules}), "net")
    ways = {each.name: next(iter(each.compressed_weights), None) for each in placement.operations}
    chosen = {name: OperationOption(False, *(TensorOption(SYMMETRIC, None),) * 2, way) for name, way in ways.items()}
    weights = {
        point.key: constant_value(nodes_by_name(fp32)[point.operation].input_value(point.port))
        for point in placement.weights
    }
    ranges = RangeFinder(placement, None, weights)
    return insert_fake_quantizes(fp32, placement, ModelOption(chosen), ranges, weights, frozenset())
