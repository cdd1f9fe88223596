"""A process that loads a model, times it and infers with it: one side of a comparison.

Run by the path of this file, with whatever interpreter has the OpenVINO release in question: it imports nothing of this
package and runs on OpenVINO 2023.3 and later. Commands come as JSON lines on standard input, answers go out the same
way; arrays travel as NumPy's own files, never as code.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import select
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

_ASYNC_ROUNDS = 4  # inferences of each stream that are timed


class Worker:
    """The commands; a slot is a place for a model."""

    def __init__(self) -> None:
        self._core = ov.Core()
        self._models: dict[str, Any] = {}
        self._exported: dict[str, Any] = {}  # what the plugin exports of a model as it was compiled last
        self._compiled: dict[int, Any] = {}
        self._requests: dict[int, list[Any]] = {}
        self._queues: dict[int, Any] = {}  # where several inputs are timed at once
        self._fed: dict[int, list[dict[str, Any]]] = {}
        self._outputs: list[str] = []
        self._inferring: Any = None  # a request, or a queue of several

    def hello(self) -> dict[str, Any]:
        """Tell what this interpreter has."""
        version = getattr(ov, "get_version", None) or getattr(ov.runtime, "get_version", None)
        return {"openvino": version() if version else "unknown", "python": platform.python_version()}

    def pin(self, cores: list[int]) -> dict[str, Any]:
        """Stay on these cores: two processes that take turns are compared on the same ones."""
        os.sched_setaffinity(0, cores)
        return {}

    def load(self, slot: int, model: str, device: str, config: dict[str, Any]) -> dict[str, Any]:
        """Compile a model anew into a slot."""
        self._requests.pop(slot, None)
        self._queues.pop(slot, None)
        self._compiled.pop(slot, None)
        read = self._model(model)
        started = time.perf_counter()
        compiled = self._core.compile_model(read, device, config)
        seconds = time.perf_counter() - started
        self._place(slot, compiled)
        return {"compile_s": seconds}

    def load_again(self, slot: int, model: str, device: str, config: dict[str, Any]) -> dict[str, Any]:
        """Compile a model anew as the last time, in a quarter of the time where the plugin reads back what it exports.

        What is read back and does not run in the same kernels is compiled instead.
        """
        started = time.perf_counter()
        key = json.dumps([model, device, config])
        if key not in self._exported:
            first = self._core.compile_model(self._model(model), device, config)
            self._exported[key] = self._readable(first, device, config)
        exported = self._exported[key]
        if exported is None:
            return self.load(slot, model, device, config)
        self._place(slot, self._core.import_model(exported, device, config))
        return {"compile_s": time.perf_counter() - started}

    def free(self, kept: list[str]) -> dict[str, Any]:
        """Forget all slots, and all that is known of files but these."""
        self._compiled.clear()
        self._requests.clear()
        self._queues.clear()
        self._fed.clear()
        self._inferring = None
        self._models = {key: value for key, value in self._models.items() if key in kept}
        self._exported = {key: value for key, value in self._exported.items() if json.loads(key)[0] in kept}
        return {}

    def precision(self, slot: int) -> dict[str, Any]:
        """Tell which floating point precision a model runs in, as the plugin calls it."""
        try:
            found = self._compiled[slot].get_property("INFERENCE_PRECISION_HINT")
        except RuntimeError:
            return {"precision": "unknown"}
        return {"precision": found.get_type_name() if hasattr(found, "get_type_name") else str(found)}

    def feed(self, slot: int, inputs: str, at_once: int = 0) -> dict[str, Any]:
        """Set the inputs that are timed, one after another, or so many at once."""
        # Kept: on 2023.3 a request does not keep the memory of its tensors.
        self._fed[slot] = [
            {name: ov.Tensor(np.ascontiguousarray(value)) for name, value in sample.items()}
            for sample in _samples(inputs)
        ]
        self._requests[slot] = []
        self._queues.pop(slot, None)
        if at_once:
            self._queues[slot] = ov.AsyncInferQueue(self._compiled[slot], at_once)
            return {}
        for sample in self._fed[slot]:
            request = self._compiled[slot].create_infer_request()
            for name, tensor in sample.items():
                request.set_tensor(name, tensor)
            self._requests[slot].append(request)
        return {}

    def turns(self, slots: list[int], count: int) -> dict[str, Any]:
        """Let the slots take turns: all inputs, untimed and then timed; return the seconds of each turn."""
        seconds = []
        for turn in range(count):
            times = [0.0] * len(slots)
            order = range(len(slots)) if turn % 2 == 0 else reversed(range(len(slots)))
            for position in order:
                if slots[position] in self._queues:
                    times[position] = self._throughput(slots[position])
                    continue
                requests = self._requests[slots[position]]
                _reset(requests)
                for request in requests:
                    request.infer()
                _reset(requests)
                started = time.perf_counter()
                for request in requests:
                    request.infer()
                times[position] = time.perf_counter() - started
            seconds.append(times)
        return {"seconds": seconds}

    def _throughput(self, slot: int) -> float:
        """Return the seconds that all inputs take, by the time of many of them on all streams."""
        queue, samples = self._queues[slot], self._fed[slot]
        streams, stateful = len(queue), any(request.query_state() for request in queue)

        def run(rounds: int) -> None:
            for _ in range(rounds * streams):
                for sample in samples:
                    if stateful:
                        queue[queue.get_idle_request_id()].reset_state()  # the one that is started next
                    queue.start_async(sample)
            queue.wait_all()

        run(1)
        started = time.perf_counter()
        run(_ASYNC_ROUNDS)
        return (time.perf_counter() - started) / (_ASYNC_ROUNDS * streams)

    def run(self, slot: int, count: int) -> dict[str, Any]:
        """Infer all inputs so often, one after another."""
        requests = self._requests[slot]
        for _ in range(count):
            _reset(requests)
            for request in requests:
                request.infer()
        return {}

    def profile(self, slot: int) -> dict[str, Any]:
        """Tell what the plugin says of each layer of a model that was loaded with PERF_COUNT."""
        requests = self._requests[slot]
        layers = [
            [node.node_name, node.status.name == "EXECUTED", node.exec_type, node.real_time.total_seconds() * 1e6]
            for node in requests[len(requests) // 2].get_profiling_info()
        ]
        # The CPU plugin's times are means over all inferences since compiling, of all requests; others' are the last's.
        return {"layers": layers, "averages": list(self._compiled[slot].get_property("EXECUTION_DEVICES")) == ["CPU"]}

    def infer(self, inputs: str, outputs: str, continues: list[bool]) -> dict[str, Any]:
        """Infer sample by sample; write each output by the numbers of sample and output.

        States go on from the samples of the call before where these do; without any, as many samples are inferred at
        once as the model was compiled for.
        """
        samples = _samples(inputs)
        if self._inferring is None:
            request = self._compiled[0].create_infer_request()
            at_once = self._compiled[0].get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            alone = at_once == 1 or len(request.query_state()) > 0
            self._inferring = request if alone else ov.AsyncInferQueue(self._compiled[0], at_once)
        found: dict[str, Any] = {}

        def keep(request: Any, index: int) -> None:
            for port in range(len(self._outputs)):
                found[f"{index} {port}"] = request.get_output_tensor(port).data.copy()

        if isinstance(self._inferring, ov.AsyncInferQueue):
            self._inferring.set_callback(keep)
            for index, sample in enumerate(samples):
                self._inferring.start_async(sample, index)
            self._inferring.wait_all()
        else:
            for index, sample in enumerate(samples):
                if not continues[index]:
                    _reset([self._inferring])
                self._inferring.infer(sample)
                keep(self._inferring, index)
        np.savez(outputs, **_stacked(found, len(samples)))
        return {"names": self._outputs}

    def memory(self) -> dict[str, Any]:
        """Tell the most memory that this process has had."""
        return {"peak_bytes": _peak_bytes()}

    def _model(self, path: str) -> Any:
        if path not in self._models:
            self._models[path] = self._core.read_model(path)
        return self._models[path]

    def _place(self, slot: int, compiled: Any) -> None:
        self._requests.pop(slot, None)
        self._queues.pop(slot, None)
        self._compiled[slot] = compiled
        self._inferring = None
        self._outputs = [port.get_any_name() for port in compiled.outputs]

    def _readable(self, compiled: Any, device: str, config: dict[str, Any]) -> Any:
        """Return what a plugin exports of a compiled model, if it executes the same when it is read back."""
        try:
            exported = compiled.export_model().getvalue()
            again = self._core.import_model(exported, device, config)
        except (RuntimeError, AttributeError):  # operations or devices that cannot be exported
            return None
        return exported if _kernels(again) == _kernels(compiled) else None


def _kernels(compiled: Any) -> list[tuple[str, str]]:
    """Return what a compiled model executes: kernel and precision of each operation."""
    found = []
    for operation in compiled.get_runtime_model().get_ops():
        info = operation.get_rt_info()
        if "primitiveType" in info and "runtimePrecision" in info:
            found.append((str(info["primitiveType"]), str(info["runtimePrecision"])))
    return sorted(found)


def _stacked(arrays: dict[str, Any], count: int) -> dict[str, Any]:
    """Return arrays that are named by sample and what they are; those of one shape and type as one, under ``*``.

    A file of many small arrays takes longer to write and read than to infer.
    """
    found: dict[str, Any] = {}
    for name in dict.fromkeys(key.partition(" ")[2] for key in arrays):
        each = [arrays[f"{index} {name}"] for index in range(count)]
        if len({(value.shape, value.dtype.str) for value in each}) == 1:
            found[f"* {name}"] = np.stack(each)
        else:
            found.update({f"{index} {name}": value for index, value in enumerate(each)})
    return found


def _peak_bytes() -> int:
    # Linux hands getrusage's figure on to whatever a process starts: it would be that of the cell's process.
    try:
        with Path("/proc/self/status").open(encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _reset(requests: list[Any]) -> None:
    """Let states begin anew, as they do with every sample."""
    for request in requests:
        for state in request.query_state():
            state.reset()


def _samples(path: str) -> list[dict[str, Any]]:
    """Read inputs sample by sample; see ``_stacked`` for their names."""
    samples: dict[int, dict[str, Any]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            place, _, name = key.partition(" ")
            values = enumerate(stored[key]) if place == "*" else [(int(place), stored[key])]
            for index, value in values:
                samples.setdefault(index, {})[name] = value
    return [samples[index] for index in sorted(samples)]


def _leave_with_parent() -> None:
    """End the process once nobody can write to standard input any more, also in the middle of a command.

    Waiting in the kernel takes no processor time from what is measured.
    """
    poll = select.poll()
    poll.register(0, 0)  # no event is asked for: a hang-up is always told
    poll.poll()
    os._exit(1)


def main() -> None:
    """Answer until standard input is closed."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    worker = Worker()
    for line in sys.stdin:
        command, arguments = json.loads(line)
        try:
            answer = {"ok": getattr(worker, command)(**arguments)}
        except Exception as error:  # whatever it is, the other side tells the user
            lines = [each.strip() for each in str(error).splitlines() if each.strip()]
            answer = {"error": f"{type(error).__name__}: {lines[-1] if lines else ''}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
