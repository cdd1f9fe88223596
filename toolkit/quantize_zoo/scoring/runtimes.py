"""Processes that run a model, each with an interpreter, and so an OpenVINO release, of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.graph.states import continues
from quantize_zoo.scoring.profiling import Profile

Samples = Sequence[Mapping[str, NDArray[Any]]]  # for each sample the value of each input
_SCRIPT = Path(__file__).with_name("runtime_worker.py")
ANSWER_SECONDS = 300.0  # a side that takes longer for one command hangs


@dataclass(frozen=True)
class Side:
    """What one side of a comparison runs: a model file, on a device with plugin properties, in an interpreter."""

    model: Path
    device: str
    properties: Mapping[str, Any]
    python: Path = Path(sys.executable)


class RuntimeProcess:
    """A process that runs the models of an interpreter, each in a slot; use ``start_runtime``."""

    def __init__(self, python: Path, process: subprocess.Popen[str], limit: float) -> None:
        self._python = python
        self._process = process
        self._limit = limit
        self.openvino = str(self._call("hello")["openvino"])

    def pin(self, cores: Sequence[int]) -> None:
        """Keep the process on these cores."""
        self._call("pin", cores=list(cores))

    def load(self, side: Side, slot: int = 0) -> float:
        """Compile a side's model anew; return the seconds that took.

        Raises:
            CellError: the model is not there, or cannot be read or compiled, or the process is gone.

        """
        if not side.model.exists():
            raise errors.model_vanished(side.model)
        arguments = {"model": str(side.model), "device": side.device, "config": dict(side.properties)}
        return float(self._call("load", slot=slot, **arguments)["compile_s"])

    def feed(self, samples: Samples, slot: int = 0) -> None:
        """Set the inputs for ``turns``."""
        with _stored(samples) as path:
            self._call("feed", slot=slot, inputs=path)

    def turns(self, slots: Sequence[int], count: int) -> NDArray[np.float64]:
        """Return the seconds of ``count`` turns (count, slots): of inferring all inputs, after an untimed time."""
        return np.asarray(self._call("turns", slots=list(slots), count=count)["seconds"], dtype=np.float64)

    def run(self, slot: int, count: int) -> None:
        """Infer all inputs so often."""
        self._call("run", slot=slot, count=count)

    def profile(self, slot: int) -> tuple[Profile, bool]:
        """Return what the plugin says of each layer, and whether times are means over all inferences so far."""
        found = self._call("profile", slot=slot)
        return [(str(name), bool(ran), str(kernel), float(us)) for name, ran, kernel, us in found["layers"]], bool(
            found["averages"]
        )

    def infer(self, samples: Samples) -> list[dict[str, NDArray[Any]]]:
        """Return the outputs of each sample."""
        with _stored(samples) as path, tempfile.TemporaryDirectory() as folder:
            goes_on = [continues(samples, index) for index in range(len(samples))]
            names = self._call("infer", inputs=path, outputs=f"{folder}/outputs.npz", continues=goes_on)["names"]
            with np.load(f"{folder}/outputs.npz", allow_pickle=False) as stored:
                return [
                    {name: stored[f"{index} {port}"] for port, name in enumerate(names)}
                    for index in range(len(samples))
                ]

    def peak_bytes(self) -> int:
        """Return the most memory that the process has had."""
        return int(self._call("memory")["peak_bytes"])

    def _call(self, command: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None, "it is a pipe"
        assert self._process.stdout is not None, "it is a pipe"
        try:
            self._process.stdin.write(json.dumps([command, arguments]) + "\n")
            self._process.stdin.flush()
            readable, _, _ = select.select([self._process.stdout], [], [], self._limit)
            if not readable:
                raise errors.runtime_hangs(self._python, command, self._limit)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise errors.runtime_died(self._python, _cause(self._process))
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise errors.runtime_refused(str(arguments.get("model", command)), answer["error"])
        found: dict[str, Any] = answer["ok"]
        return found


@contextmanager
def start_runtime(python: Path = Path(sys.executable), limit: float = ANSWER_SECONDS) -> Iterator[RuntimeProcess]:
    """Start a process; it ends with the context.

    Raises:
        CellError: the interpreter does not start or has no OpenVINO.

    """
    try:
        process = subprocess.Popen(
            [str(python), str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": ""},
            start_new_session=True,  # the interpreter may be a script with a process below it
        )
    except OSError as error:
        raise errors.runtime_died(python, str(error)) from error
    try:
        yield RuntimeProcess(python, process, limit)
    finally:
        _kill(process)
        process.communicate()


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _cause(process: subprocess.Popen[str]) -> str:
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)  # it may be about to say why
    status = process.poll()
    _kill(process)
    _, told = process.communicate()
    lines = [line for line in told.splitlines() if line.strip()]
    # What a killed process said last is not why it ended.
    return lines[-1] if lines and status is not None and status >= 0 else f"exit status {process.returncode}"


@contextmanager
def _stored(samples: Samples) -> Iterator[str]:
    # Sample by sample, since shapes may differ.
    arrays = {f"{index} {name}": value for index, sample in enumerate(samples) for name, value in sample.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/inputs.npz"
        np.savez(path, **arrays)  # type: ignore[arg-type]  # the stub takes only its own options by name
        yield path
