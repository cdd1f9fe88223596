"""A process that runs a model for a comparison: its end, and its memory."""

import signal
import subprocess
import sys
import time

import numpy as np
import openvino as ov
import pytest

from builders import model, parameter
from quantize_zoo.errors import CellError
from quantize_zoo.graph import save_model, with_own_names
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.states import Steps
from quantize_zoo.interrupts import descendants
from quantize_zoo.scoring import Side, runtimes, start_runtime
from unit.test_interrupts import alive

PARENT = """
import sys
from pathlib import Path
import numpy as np
from quantize_zoo.scoring.runtimes import Side, start_runtime

with start_runtime() as runtime:
    runtime.load(Side(Path(sys.argv[1]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
    runtime.feed([{"x": np.zeros((1, 8), np.float32)}])
    print("ready", flush=True)
    runtime.turns([0], 10**9)
"""


def test_it_leaves_within_two_seconds_when_its_parent_is_killed_in_the_middle_of_turns(tmp_path):
    x = parameter((1, 8), "x")
    save_model(model(ops.matmul(x, ops.constant(np.eye(8, dtype=np.float32)), False, False), x), tmp_path / "net.xml")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path / "net.xml"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout.readline() == "ready\n"
    time.sleep(0.5)  # the command for the turns has arrived
    (runtime,) = descendants(parent.pid)
    before = processor_seconds(runtime)
    time.sleep(0.5)
    assert processor_seconds(runtime) > before  # it is at work
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=20)
    deadline = time.monotonic() + 2
    while alive(runtime):
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.02)


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as stream:  # noqa: PTH123
        return sum(int(field) for field in stream.read().rpartition(")")[2].split()[11:13])


def test_its_memory_is_its_own_and_not_that_of_the_process_that_started_it():
    large = np.ones(200_000_000)  # 1.6 GB
    with start_runtime() as process:
        assert process.peak_bytes() < large.nbytes / 2


# Interpreters that say more than they are asked for, or less


def interpreter(folder, *lines):
    """An interpreter that runs some lines before the process's own program."""
    program = folder / "before.py"
    text = "\n".join(lines)
    program.write_text(
        f"import os, runpy, sys\n{text}\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
    python.chmod(0o755)
    return python


@pytest.fixture
def doubling(tmp_path):
    """A model that doubles what it is given."""
    x = parameter((1, 8), "x")
    path = tmp_path / "net.xml"
    save_model(model(ops.multiply(x, ops.constant(np.full((1, 8), 2, np.float32))), x), path)
    return Side(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def test_what_a_process_writes_to_its_standard_error_does_not_stop_it(tmp_path, doubling):
    chatter = "os.write(2, b'warning: ' + b'x' * 100 + b'\\n')"
    talks = f"json.loads = lambda text: [{chatter} for _ in range(3000)] and loads(text)"
    with start_runtime(interpreter(tmp_path, "import json", "loads = json.loads", talks), limit=30) as process:
        process.load(doubling)
        (found,) = process.infer([{"x": np.ones((1, 8), np.float32)}])
    np.testing.assert_array_equal(next(iter(found.values())), np.full((1, 8), 2))


def test_of_much_that_a_process_wrote_before_it_ended_the_last_line_is_told(tmp_path):
    python = interpreter(tmp_path, "sys.exit('x' * 100 + '\\n' * 5000 + 'there is no license')")
    with pytest.raises(CellError, match="ended: there is no license"), start_runtime(python):
        pass


@pytest.mark.parametrize("line", ["'welcome'", "'[1]'", "'12'", "'{}'"])
def test_a_process_that_answers_something_else_is_told(tmp_path, line):
    python = interpreter(tmp_path, f"print({line}, flush=True)")  # what is not flushed goes to its standard error
    with pytest.raises(CellError, match=r"running .* failed"), start_runtime(python):
        pass


def test_half_an_answer_is_none(tmp_path):
    python = interpreter(tmp_path, "import time", "os.write(1, b'{')", "time.sleep(60)")
    with pytest.raises(CellError, match="has not answered 'hello' for 1 s"), start_runtime(python, limit=1):
        pass


def test_each_batch_of_a_dataset_has_the_time_limit(tmp_path, doubling, monkeypatch):
    monkeypatch.setattr(runtimes, "BATCH", 2)
    slow = "import json, time\nloads = json.loads\njson.loads = lambda text: time.sleep(0.4) or loads(text)"
    samples = [{"x": np.full((1, 8), index, np.float32)} for index in range(9)]
    with start_runtime(interpreter(tmp_path, slow), limit=20) as process:
        process.load(doubling)
        process._limit = 1.5
        started = time.monotonic()
        found = [float(next(iter(each.values()))[0, 0]) for each in process.infer(samples)]
        assert time.monotonic() - started > process._limit
    assert found == [2 * index for index in range(9)]


def test_batches_are_bounded_by_number_and_by_size(monkeypatch):
    monkeypatch.setattr(runtimes, "BATCH", 3)
    monkeypatch.setattr(runtimes, "_BATCH_BYTES", 100)
    sizes = [10, 10, 10, 10, 200, 60, 60, 10]
    samples = [{"x": np.zeros(size, np.uint8)} for size in sizes]
    found = [(first, [len(each["x"]) for each in batch]) for first, batch in runtimes._batches(samples)]
    assert found == [(0, [10, 10, 10]), (3, [10, 200]), (5, [60, 60]), (7, [10])]


def test_states_go_on_from_one_batch_to_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "BATCH", 2)
    x = parameter((1, 1), "x")
    state = ops.read_value(ops.constant(np.zeros((1, 1), np.float32)), "sum")
    total = ops.add(x, state)
    counter = ov.Model(
        [ops.result(total)], [ops.assign(total, "sum")], [x.node if hasattr(x, "node") else x], "counter"
    )
    save_model(with_own_names(counter), tmp_path / "sum.xml")
    one = {"x": np.ones((1, 1), np.float32)}
    with start_runtime() as process:
        process.load(Side(tmp_path / "sum.xml", "CPU", {}))
        steps = Steps([one] * 7, [False, True, True, True, False, True, True])
        found = [float(next(iter(each.values()))[0, 0]) for each in process.infer(steps)]
    assert found == [1, 2, 3, 4, 1, 2, 3]
