"""Processes that run a model, each with an interpreter, and so an OpenVINO release, of its own; here, or far away."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.graph.states import continues
from quantize_zoo.scoring.environment import ISA_VARIABLE
from quantize_zoo.scoring.precisions import precision_name
from quantize_zoo.scoring.profiling import Profile

Samples = Sequence[Mapping[str, NDArray[Any]]]  # for each sample the value of each input
_SCRIPT = Path(__file__).with_name("runtime_worker.py")
ANSWER_SECONDS = 300.0  # a side that takes longer for one command hangs
BATCH = 32  # samples of a command
_BATCH_BYTES = 64_000_000  # of their inputs, after which no other is added
_READ = 65_536  # bytes at a time
_TOLD = 8_192  # bytes that are kept of what a process tells beside its answers


@dataclass(frozen=True)
class Side:
    """What one side of a comparison runs: a model file, on a device with plugin properties, in an interpreter.

    ``start`` starts its process where that is no plain one of the interpreter: one that is limited, or elsewhere.
    """

    model: Path
    device: str
    properties: Mapping[str, Any]
    python: Path = Path(sys.executable)
    start: Start | None = None


class ModelProcess(ABC):
    """A process that runs the models of an interpreter, each in a slot; see ``start_runtime``.

    Each command has a time limit of its own, and none is of more than a few samples.
    """

    openvino: str

    def alone(self) -> AbstractContextManager[object]:
        """Return what is held while its machine is to work for nobody else; here nothing else does."""
        return nullcontext()

    def pin(self, cores: Sequence[int]) -> None:
        """Keep the process on these cores."""
        self.call("pin", cores=list(cores))

    def load(self, side: Side, slot: int = 0) -> float:
        """Compile a side's model anew; return the seconds that took.

        Raises:
            CellError: the model is not there, or cannot be read or compiled, or the process is gone.

        """
        return self._load("load", side, slot)

    def load_again(self, side: Side, slot: int) -> float:
        """Do the same; a model that was loaded so before is read back from what its plugin exports, where it can be."""
        return self._load("load_again", side, slot)

    def free(self, kept: Sequence[Path] = ()) -> None:
        """Forget what is loaded, and what is known of all files but these."""
        self.call("free", kept=[str(model) for model in kept])

    def precision(self, slot: int = 0) -> str:
        """Return the floating point precision that a model runs in, as OpenVINO's hints spell it."""
        return precision_name(str(self.call("precision", slot=slot)["precision"]))

    @abstractmethod
    def feed(self, samples: Samples, slot: int = 0, at_once: int = 0) -> None:
        """Set the inputs for ``turns``, which infer one after another, or so many ``at_once``."""

    def turns(self, slots: Sequence[int], count: int) -> NDArray[np.float64]:
        """Return the seconds of ``count`` turns (count, slots): of inferring all inputs, after an untimed time."""
        return np.asarray(self.call("turns", slots=list(slots), count=count)["seconds"], dtype=np.float64)

    def run(self, slot: int, count: int) -> None:
        """Infer all inputs so often."""
        self.call("run", slot=slot, count=count)

    def profile(self, slot: int) -> tuple[Profile, bool]:
        """Return what the plugin says of each layer, and whether times are means over all inferences so far."""
        found = self.call("profile", slot=slot)
        return [(str(name), bool(ran), str(kernel), float(us)) for name, ran, kernel, us in found["layers"]], bool(
            found["averages"]
        )

    def infer(self, samples: Samples) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the outputs of each sample; no more than a batch of samples is in memory at a time.

        Raises:
            CellError: the model cannot be run, a batch takes longer than the limit, or the process is gone.

        """
        for first, batch in _batches(samples):
            yield from self.infer_batch(batch, [continues(samples, first + index) for index in range(len(batch))])

    @abstractmethod
    def infer_batch(self, batch: Samples, goes_on: Sequence[bool]) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the outputs of a few samples; the states of those that go on are not reset before."""

    def peak_bytes(self) -> int:
        """Return the most memory that the process has had."""
        return int(self.call("memory")["peak_bytes"])

    def _load(self, command: str, side: Side, slot: int) -> float:
        if not side.model.exists():
            raise errors.model_vanished(side.model)
        arguments = {"model": str(side.model), "device": side.device, "config": dict(side.properties)}
        return float(self.call(command, slot=slot, **arguments)["compile_s"])

    @abstractmethod
    def call(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Run a command of ``runtime_worker`` and return its answer."""


# Starts a process that ends with the context.
Start = Callable[[], AbstractContextManager[ModelProcess]]


class RuntimeProcess(ModelProcess):
    """A process of this machine; use ``start_runtime``."""

    def __init__(self, python: Path, process: subprocess.Popen[bytes], limit: float) -> None:
        self._python = python
        self._process = process
        self._limit = limit
        self._answers, self._told = bytearray(), bytearray()  # what came of both streams, and was not used yet
        self.openvino = str(self.call("hello")["openvino"])

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def feed(self, samples: Samples, slot: int = 0, at_once: int = 0) -> None:
        """See ``ModelProcess``."""
        with _stored(samples) as path:
            self.call("feed", slot=slot, inputs=path, at_once=at_once)

    def infer_batch(self, batch: Samples, goes_on: Sequence[bool]) -> Iterator[dict[str, NDArray[Any]]]:
        """See ``ModelProcess``."""
        with _stored(batch) as path, tempfile.TemporaryDirectory() as folder:
            outputs = f"{folder}/outputs.npz"
            names = self.call("infer", inputs=path, outputs=outputs, continues=list(goes_on))["names"]
            with np.load(outputs, allow_pickle=False) as stored:
                found = {key: stored[key] for key in stored.files}
            for index in range(len(batch)):
                yield {
                    name: found[f"* {port}"][index] if f"* {port}" in found else found[f"{index} {port}"]
                    for port, name in enumerate(names)
                }

    def call(self, command: str, **arguments: Any) -> dict[str, Any]:
        """See ``ModelProcess``."""
        assert self._process.stdin is not None, "it is a pipe"
        try:
            self._process.stdin.write(json.dumps([command, arguments]).encode() + b"\n")
            self._process.stdin.flush()
            line = self._line(command)
        except BrokenPipeError:
            line = b""
        if not line:
            raise errors.runtime_died(self._python, self._cause())
        try:
            answer: dict[str, Any] = json.loads(line)
            found: dict[str, Any] | None = answer.get("ok")
        except (ValueError, AttributeError) as error:
            raise errors.runtime_refused(str(self._python), f"it answers {line[:_TOLD]!r}") from error
        if found is None:
            raise errors.runtime_refused(str(arguments.get("model", command)), str(answer.get("error")))
        return found

    def _line(self, command: str) -> bytes:
        """Return the next line of the process's answers; empty if it has ended.

        What it tells beside them is read meanwhile: nobody else does, and a process whose pipe is full waits for ever.
        """
        assert self._process.stdout is not None, "it is a pipe"
        deadline = time.monotonic() + self._limit
        while b"\n" not in self._answers:
            if self._process.stdout.closed:
                return b""
            if not self._read(max(0.0, deadline - time.monotonic())):
                raise errors.runtime_hangs(self._python, command, self._limit)
        line, _, rest = bytes(self._answers).partition(b"\n")
        self._answers[:] = rest
        return line

    def _read(self, seconds: float) -> bool:
        """Read what comes within some seconds; tell whether anything did, if only the end of a stream."""
        streams = [each for each in (self._process.stdout, self._process.stderr) if each and not each.closed]
        readable, _, _ = select.select(streams, [], [], seconds)
        for stream in readable:
            content = os.read(stream.fileno(), _READ)
            if not content:
                stream.close()
            elif stream is self._process.stdout:
                self._answers += content
            else:
                self._told += content
                del self._told[:-_TOLD]
        return bool(readable)

    def _cause(self) -> str:
        """Return why the process ended: what it told last, unless it was killed."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)  # it may be about to say why
        status = self._process.poll()
        _kill(self._process)
        while self._process.stderr and not self._process.stderr.closed and self._read(1):
            pass
        lines = [line for line in self._told.decode(errors="replace").splitlines() if line.strip()]
        # What a killed process said last is not why it ended.
        return lines[-1] if lines and status is not None and status >= 0 else f"exit status {self._process.wait()}"


def started(side: Side) -> AbstractContextManager[ModelProcess]:
    """Start the process that a side runs in; it ends with the context."""
    return start_runtime(side.python) if side.start is None else side.start()


@contextmanager
def start_runtime(
    python: Path = Path(sys.executable), limit: float = ANSWER_SECONDS, isa: str | None = None
) -> Iterator[RuntimeProcess]:
    """Start a process; it ends with the context.

    Args:
        python: the interpreter.
        limit: seconds that a command may take.
        isa: the instruction set that oneDNN is limited to, empty for none; by default this process's limit.

    Raises:
        CellError: the interpreter does not start or has no OpenVINO.

    """
    environment = {**os.environ, "PYTHONPATH": ""}
    if isa is not None:
        environment[ISA_VARIABLE] = isa
        if not isa:
            del environment[ISA_VARIABLE]
    try:
        process = subprocess.Popen(
            [str(python), str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            start_new_session=True,  # the interpreter may be a script with a process below it
        )
    except OSError as error:
        raise errors.runtime_died(python, str(error)) from error
    try:
        yield RuntimeProcess(python, process, limit)
    finally:
        _kill(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _batches(samples: Samples) -> Iterator[tuple[int, Samples]]:
    """Yield samples in their order, a few at a time, each time with the number of the first one.

    One command has a time limit and is held in memory by both sides: it must not grow with the dataset.
    """
    batch: list[Mapping[str, NDArray[Any]]] = []
    size = 0
    for index, sample in enumerate(samples):
        batch.append(sample)
        size += sum(value.nbytes for value in sample.values())
        if len(batch) == BATCH or size >= _BATCH_BYTES:
            yield index + 1 - len(batch), batch
            batch, size = [], 0
    if batch:
        yield len(samples) - len(batch), batch


def _shapes(sample: Mapping[str, NDArray[Any]]) -> list[tuple[str, tuple[int, ...], str]]:
    return [(name, value.shape, value.dtype.str) for name, value in sample.items()]


@contextmanager
def _stored(samples: Samples) -> Iterator[str]:
    first = _shapes(samples[0])
    if all(_shapes(sample) == first for sample in samples):
        arrays = {f"* {name}": np.stack([sample[name] for sample in samples]) for name in samples[0]}
    else:
        arrays = {f"{index} {name}": value for index, sample in enumerate(samples) for name, value in sample.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/inputs.npz"
        np.savez(path, **arrays)  # type: ignore[arg-type]  # the stub takes only its own options by name
        yield path
