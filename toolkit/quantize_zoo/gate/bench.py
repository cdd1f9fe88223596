"""What runs models to compare them: data, device, and how latency is measured."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config import BenchmarkParams, DeviceSpec
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.scoring import (
    AccuracySession,
    Answers,
    Contents,
    Side,
    Start,
    accuracy_properties,
    compile_for_accuracy,
    latency_properties,
    start_runtime,
)
from quantize_zoo.scoring.estimate import exponential, two_stage_estimate
from quantize_zoo.store import Figures

_COMPILATIONS = 5
_TIMED_SAMPLES = 8  # where shapes differ


@dataclass(frozen=True)
class Bench:
    """What runs the models: the dataset's session, the device, and how latency is measured (not at all without one).

    ``former_dataset`` is what releases up to 0.1.0 called the dataset.
    ``inputs`` are the shapes of all inputs, ``batched`` those whose first dimension is dynamic. ``calibration`` are the
    samples that statistics are collected on, ``holdout`` those that the search never sees. Where all models run in
    processes of their own, ``isa`` is the instruction set that these are limited to, empty for none, and ``start``
    starts one. ``member`` is the member of a fleet that it is, empty if that leads; it may run ``elsewhere``: on a
    machine of its own, which has this interpreter's release alone.
    """

    accuracy: AccuracySession
    device: DeviceSpec
    benchmark: BenchmarkParams
    metric: str
    dataset: str
    inputs: Mapping[str, str]
    batched: frozenset[str]
    measures_latency: bool
    former_dataset: str = ""
    holdout: tuple[int, ...] = ()
    calibration: tuple[int, ...] = ()
    isa: str | None = None
    member: str = ""
    start: Start | None = None
    elsewhere: bool = False

    def subject(self, models: str) -> str:
        """Return what a check is of, and on which member of a fleet, if that does not lead."""
        return f"{models} on {self.member}" if self.member else models

    @cached_property
    def contents(self) -> Contents:
        """What the samples are, and which of them calibrate."""
        found = self.accuracy.contents
        calibration = np.zeros(len(found.identifiers), np.bool_)
        calibration[list(self.calibration)] = True
        return replace(found, calibration=calibration)

    def read(self, path: Path) -> ov.Model:
        """Read a model file that takes the bench's data.

        Raises:
            CellError: it is not there, cannot be read, or has other inputs.

        """
        if not path.is_file():
            raise errors.model_vanished(path)
        model = read_model(path)
        found = {port.get_any_name(): port.get_partial_shape() for port in model.inputs}
        expected = {name: ov.PartialShape(shape) for name, shape in self.inputs.items()}
        # A side of fixed shapes takes a dynamic one's data where they overlap: a converter's pinned batch is no
        # other model.
        if found.keys() != expected.keys() or not all(found[name].compatible(expected[name]) for name in found):
            shown = {name: str(shape) for name, shape in found.items()}
            raise errors.other_baseline([f"model inputs ({shown}, now {dict(self.inputs)})"])
        return model

    def answers(self, model: ov.Model, indices: Sequence[int] | None = None) -> Answers:
        """What a model answers for these samples, for all by default."""
        if self.start is not None:
            with tempfile.TemporaryDirectory() as folder, self.start() as process:
                path = Path(folder, "model.xml")
                save_model(model, path)
                process.load(self.accuracy_side(path))
                return self.accuracy.answers(process, self.metric, indices)
        return self.accuracy.answers(compile_for_accuracy(model, self.device), self.metric, indices)

    def answers_under(self, python: Path, model: Path) -> Answers:
        """What a model file answers in another interpreter, at the device's properties for latency.

        Raises:
            CellError: it cannot be run there.

        """
        with start_runtime(python, isa=self.isa) as process:
            process.load(self.side(model))
            return self.accuracy.answers_of(process.infer(self.accuracy.inputs()), self.metric)

    def side(self, model: Path, python: Path | None = None) -> Side:
        """One side of a latency comparison."""
        properties = latency_properties(self.device, self.benchmark, self.isa)
        return Side(model, self.device.device, properties, python or Path(sys.executable), self._start(python))

    def accuracy_side(self, model: Path, python: Path | None = None) -> Side:
        """One side of a comparison of what models compute."""
        properties = accuracy_properties(self.device, self.isa)
        return Side(model, self.device.device, properties, python or Path(sys.executable), self._start(python))

    def _start(self, python: Path | None) -> Start | None:
        """Return what starts a process of another interpreter, or of this one, limited as the bench's are."""
        return partial(start_runtime, python, isa=self.isa) if python else self.start

    def timed_samples(self) -> list[Mapping[str, NDArray[Any]]]:
        """The inputs that latency is measured with, each as often as the batch is large; see ``timed_indices``.

        Raises:
            CellError: the model takes no other batch than its own.

        """
        found = self.timed_inputs()
        batch = self.benchmark.batch_size
        if batch == 1:
            return found
        if not self.batched:
            raise errors.batch_is_fixed(batch, ", ".join(f"{name} {shape}" for name, shape in self.inputs.items()))
        return [{**each, **{name: np.repeat(each[name], batch, axis=0) for name in self.batched}} for each in found]

    def timed_inputs(self) -> list[Mapping[str, NDArray[Any]]]:
        """The inputs of the inferences that latency is measured with."""
        inputs = self.accuracy.inputs()
        return [inputs[number] for number in self.timed_indices]

    @cached_property
    def timed_indices(self) -> tuple[int, ...]:
        """The first inference where all have one shape; else a few of different sizes, see ``spread_of_sizes``."""
        return spread_of_sizes([each.values() for each in self.accuracy.inputs()])


def measure_figures(bench: Bench, path: Path) -> Figures:
    """Measure what a model costs beside its latency, in a process of its own.

    Raises:
        CellError: the model cannot be run.

    """
    weights = path.with_suffix(".bin")
    side = bench.side(path)
    with (bench.start or start_runtime)() as process:
        seconds = [process.load(side) for _ in range(_COMPILATIONS)]
        process.feed(bench.timed_samples())
        process.turns((0,), 1)
        size = (weights if weights.is_file() else path).stat().st_size
        compiling = exponential(two_stage_estimate(np.log(seconds), len(seconds), "s"))
        return Figures(size, compiling.value, process.peak_bytes(), compiling.low, compiling.high)


def spread_of_sizes(samples: Sequence[Iterable[NDArray[Any]]]) -> tuple[int, ...]:
    """Return the numbers of samples whose sizes spread as those of all do: the middles of eighths of the sorted sizes.

    Of samples of one shape it is the first; of equal sizes, chance decides, the same one each time.
    """
    shapes = [tuple(value.shape for value in values) for values in samples]
    if len(set(shapes)) == 1:
        return (0,)
    sizes = np.array([sum(int(np.prod(shape)) for shape in each) for each in shapes])
    order = np.lexsort((np.random.default_rng(0).permutation(len(sizes)), sizes))
    count = min(_TIMED_SAMPLES, len(sizes))
    return tuple(int(order[(2 * part + 1) * len(sizes) // (2 * count)]) for part in range(count))
