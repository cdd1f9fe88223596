"""A process that runs a model for a comparison: its end, and its memory."""

import signal
import subprocess
import sys
import time

import numpy as np

from builders import model, parameter
from quantize_zoo.graph import save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.interrupts import descendants
from quantize_zoo.scoring import start_runtime
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
