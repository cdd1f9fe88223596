"""The first signal is raised, the second ends everything; in programs of a few lines, each really signalled."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quantize_zoo.interrupts import descendants

LISTENING = "import sys, time\nfrom quantize_zoo import interrupts\ninterrupts.listen()\n"
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def program(text):
    """A program that is ready once it has printed a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENING + text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


def alive(pid):
    """Whether a process is there, and not only waiting for somebody to ask for its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def told(process):
    _, err = process.communicate(timeout=20)
    return process.returncode, err


@BOTH
def test_a_signal_before_it_is_raised_ends_the_process_with_one_line(number):
    process = program("print('ready', flush=True)\ntime.sleep(60)")
    process.send_signal(number)
    assert told(process) == (128 + number, f"interrupted by {number.name}\n")


@BOTH
def test_the_first_signal_is_raised_and_knows_which_it_was(number):
    process = program(
        "with interrupts.raised():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    except KeyboardInterrupt as error:\n"
        "        sys.exit(100 + error.number)\n"
    )
    process.send_signal(number)
    assert told(process) == (100 + number, "")


def test_a_signal_that_a_library_swallowed_is_remembered():
    process = program(
        "with interrupts.raised():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    except:\n"
        "        pass\n"
        "    try:\n"
        "        interrupts.check()\n"
        "    except interrupts.Interrupted as error:\n"
        "        sys.exit(interrupts.tell(interrupts.asked()))\n"
    )
    process.send_signal(signal.SIGTERM)
    assert told(process) == (143, "interrupted by SIGTERM\n")


IN_THE_MIDDLE = {
    "of a destructor": "    class Dying:\n        def __del__(self):\n            wait()\n    Dying()\n",
    "of a finalizer": (
        "    import weakref\n    class Dying: pass\n    dying = Dying()\n"
        "    weakref.finalize(dying, wait)\n    del dying\n"
    ),
    "of what a library logs": (
        "    import logging\n    try:\n        wait()\n"
        "    except BaseException:\n        logging.exception('closing')\n"
    ),
}


@pytest.mark.parametrize("place", IN_THE_MIDDLE)
def test_a_signal_in_the_middle_of_what_swallows_it_is_one_line(place):
    process = program(
        "def wait():\n    print('ready', flush=True)\n    time.sleep(60)\n"
        f"with interrupts.raised():\n{IN_THE_MIDDLE[place]}"
        "    assert interrupts.asked()\n"
        "    sys.exit(interrupts.tell(interrupts.asked()))\n"
    )
    process.send_signal(signal.SIGINT)
    assert told(process) == (130, "interrupted by SIGINT\n")


def test_the_second_signal_ends_a_process_in_native_code_with_all_below_it():
    process = program(
        "import hashlib, subprocess, threading\n"
        "def tell_when_busy():\n"
        "    while time.process_time() < begun + 0.1:\n"
        "        time.sleep(0.01)\n"
        "    print('ready', flush=True)\n"
        "with interrupts.raised():\n"
        "    subprocess.Popen(['sh', '-c', 'sleep 60 & wait'], start_new_session=True)\n"
        "    time.sleep(0.2)\n"
        "    begun = time.process_time()\n"
        "    threading.Thread(target=tell_when_busy, daemon=True).start()\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)\n"
    )
    below = descendants(process.pid)
    assert len(below) == 2
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)  # signals that come together may be one
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    status, err = process.wait(20), process.stderr.readline()
    assert (status, err) == (143, "interrupted by SIGTERM\n")
    assert time.monotonic() - started < 2
    assert not [each for each in below if alive(each)]


def test_no_thread_but_the_main_one_takes_a_signal():
    process = program("print('ready', flush=True)\ntime.sleep(60)")
    taken = 1 << signal.SIGINT - 1 | 1 << signal.SIGTERM - 1
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        fields = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines())
        blocked = int(fields["SigBlk"], 16) & taken
        assert blocked == (0 if int(thread.name) == process.pid else taken)
    process.kill()


def test_a_signal_that_is_ignored_stays_so():
    script = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{LISTENING}"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}signal.raise_signal(signal.SIGINT)\ntime.sleep(0.3)\nprint('on')"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "on\n"


def test_a_forked_process_has_signals_of_its_own():
    process = program(
        "import os\n"
        "reading, writing = os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.write(writing, b'.')\n"
        "    time.sleep(60)\n"
        "os.read(reading, 1)\n"
        "os.kill(child, 15)\n"
        "assert os.waitpid(child, 0)[1] == 15\n"
        "print('ready', flush=True)\n"
    )
    assert told(process) == (0, "")


def test_a_signal_after_models_were_run_is_no_crash():
    """Each of OpenVINO's Cores gives the thread a stack for signals, and takes that of the one before away."""
    process = program(
        "import numpy as np, openvino as ov\n"
        "from quantize_zoo.config import DeviceSpec\n"
        "from quantize_zoo.graph.opset import opset13 as ops\n"
        "from quantize_zoo.scoring import compile_for_accuracy\n"
        "for _ in range(5):\n"
        "    x = ops.parameter([1, 3, 8, 8], np.float32)\n"
        "    compiled = compile_for_accuracy(ov.Model([ops.relu(x)], [x]), DeviceSpec(device='CPU'))\n"
        "    compiled(np.ones((1, 3, 8, 8), np.float32))\n"
        "    del compiled\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    process.send_signal(signal.SIGINT)
    assert told(process)[0] == 130


def test_a_signal_that_is_held_is_raised_later():
    process = program(
        "done = False\n"
        "try:\n"
        "    with interrupts.raised(), interrupts.held():\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(0.5)\n"
        "        done = True\n"
        "except KeyboardInterrupt as error:\n"
        "    sys.exit(100 + error.number if done else 1)\n"
    )
    process.send_signal(signal.SIGTERM)
    assert told(process) == (115, "")
