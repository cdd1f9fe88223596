"""The runtime worker as an interpreter of another release would run it, slower or with wrong answers.

    python slowed_runtime.py RELEASE SHARE right|wrong runtime_worker.py

``RELEASE`` is what it claims to be, ``-`` for what it is. Each inference that is timed takes longer by a share of what
it took; wrong answers are right ones moved on by one class.
"""

import importlib.util
import sys
import time
from pathlib import Path

import numpy as np


def wrapper(path: Path, python: Path, release: str, share: float = 0.0, answers: str = "right") -> Path:
    """Write an interpreter that runs the runtime worker so; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{python}" "{Path(__file__).resolve()}" {release} {share} {answers} "$@"\n')
    path.chmod(0o755)
    return path


class Slow:
    """A request whose inferences take longer."""

    def __init__(self, request, share):
        self._request = request
        self._share = share

    def infer(self):
        started = time.perf_counter()
        self._request.infer()
        until = time.perf_counter() + self._share * (time.perf_counter() - started)
        while time.perf_counter() < until:
            pass

    def query_state(self):
        return self._request.query_state()


def main():
    release, share, answers, script = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("runtime_worker", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    class Slowed(module.Worker):
        def hello(self):
            told = super().hello()
            return told if release == "-" else {**told, "openvino": f"{release}-claimed"}

        def feed(self, slot, inputs, at_once=0):
            done = super().feed(slot, inputs, at_once)
            if float(share):
                self._requests[slot] = [Slow(request, float(share)) for request in self._requests[slot]]
            return done

        def infer(self, inputs, outputs, continues):
            done = super().infer(inputs, outputs, continues)
            if answers == "wrong":
                with np.load(outputs, allow_pickle=False) as stored:
                    moved = {name: np.roll(stored[name], 1, axis=-1) for name in stored.files}
                np.savez(outputs, **moved)
            return done

    module.Worker = Slowed
    module.main()


if __name__ == "__main__":
    main()
