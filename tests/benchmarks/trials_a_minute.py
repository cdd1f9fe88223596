"""Trials a minute of two versions of the toolkit, trial by trial in turns, and where the time goes.

    git worktree add /tmp/before 9597550
    python tests/benchmarks/trials_a_minute.py /tmp/before [lines-crnn] [120-operations] [--trials 20]

Each version runs in a process of its own and evaluates the same options, without pruning: all candidates are built,
scored and measured. While one works the other waits, so that what else the machine does meets both alike. The base is
evaluated first and not counted.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
ZOO = HERE / "model_zoo_configs" / "embedded"
MODELS = ("lines-crnn", "120-operations")
PARTS = ("build", "compile", "accuracy", "latency", "rest")
IMAGES, SIZE = 50, 64
_LEFT_OUT = 0.2  # of the operations: choices that all versions have, whatever else they offer


def configuration(name, folder):
    """Return the YAML of a cell; what the synthetic one needs is written to the folder."""
    if name != "120-operations":
        return ZOO / f"{name}.yml"
    import cv2
    import numpy as np
    import openvino as ov
    import yaml

    sys.path.insert(0, str(HERE / "tests"))
    from large_models import many_convolutions

    model, rng = many_convolutions(120, SIZE), np.random.default_rng(0)
    compiled, lines = ov.compile_model(model, "CPU"), []
    for index in range(IMAGES):
        image = rng.integers(0, 256, size=(SIZE, SIZE, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
        scores = next(iter(compiled(image.transpose(2, 0, 1)[None].astype(np.float32)).values()))
        lines.append(f"{index}.png {int(np.argmax(scores))}")
    (folder / "labels.txt").write_text("\n".join(lines) + "\n")
    ov.save_model(model, folder / "model.xml", compress_to_fp16=False)
    dataset = {
        "name": "images", "data_source": ".", "metrics": [{"type": "accuracy", "top_k": 1}],
        "annotation_conversion": {"converter": "imagenet", "annotation_file": "labels.txt"},
    }  # fmt: skip
    launcher = {"framework": "openvino", "adapter": "classification"}
    content = {
        "name": name, "model": "model.xml", "metric": "accuracy",
        "accuracy_checker": {"models": [{"name": name, "launchers": [launcher], "datasets": [dataset]}]},
        "compression": {"algorithms": [{"name": "TunableQuantization", "params": {"stat_subset_size": 10}}]},
        "optimizer": {"params": {"max_trials": 8, "accuracy_loss": 99, "holdout": 0}},
    }  # fmt: skip
    (folder / "model.yml").write_text(yaml.safe_dump(content))
    return folder / "model.yml"


def serve(path):
    """Prepare a cell, then evaluate one random option a line of the standard input; tell each one's seconds."""
    import numpy as np

    from quantize_zoo.cell import Cell
    from quantize_zoo.cell.session import CellSession
    from quantize_zoo.config import DeviceSpec, load_model_config, search_stages
    from quantize_zoo.quantization import derive_space, option_hash
    from quantize_zoo.search import Known
    from quantize_zoo.search.labels import option_of

    config, folder = load_model_config(path), Path(tempfile.mkdtemp())
    session = CellSession(Cell(config, DeviceSpec(device="CPU", inference_precision="f32")), folder, folder)
    prepared = session.prepare()
    stage = search_stages(config)[-1]
    session.calibrate(prepared.base)
    space = derive_space(prepared.placement, prepared.base, stage.compression)
    branches = {name: [each.value for each in space.operations[name].branches] for name in sorted(space.operations)}
    left_out = {f"operation {name}": values.index(False) for name, values in branches.items() if False in values}
    rng, seen, option = np.random.default_rng(0), set(), prepared.base
    print(json.dumps({}), flush=True)
    for _ in sys.stdin:
        while option_hash(option) in seen:
            drawn = {label: index for label, index in left_out.items() if rng.random() < _LEFT_OUT}
            option = option_of(space, prepared.base, drawn)
        seen.add(option_hash(option))
        started, used = time.perf_counter(), time.process_time()
        found = session.evaluate(option, Known(), prune=False)
        seconds = {
            "wall": time.perf_counter() - started, "process": time.process_time() - used,
            "build": found.built.seconds, "compile": found.scored.compile_seconds + found.timed.compile_seconds,
            "accuracy": found.scored.seconds, "latency": found.timed.seconds,
            "value": found.scored.accuracy.value, "candidate": found.built.candidate,
        }  # fmt: skip
        seconds["rest"] = seconds["wall"] - sum(seconds[part] for part in PARTS[:-1])
        print(json.dumps(seconds), flush=True)


class Version:
    """A version of the toolkit in a process of its own."""

    def __init__(self, root, path):
        environment = os.environ | {"PYTHONPATH": str(Path(root).resolve() / "toolkit"), "CI": "true"}
        command = [sys.executable, __file__, "--serve", str(path)]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, cwd=tempfile.mkdtemp(),
        )  # fmt: skip
        self.told = []
        self._answer()

    def evaluate(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.told.append(self._answer())

    def close(self):
        self._process.stdin.close()
        self._process.wait()

    def _answer(self):
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                return json.loads(line)
        raise RuntimeError("the version has ended")

    def mean(self, part):
        """Mean milliseconds of a part of a trial."""
        return 1000 * statistics.mean(each[part] for each in self.told[1:])

    def overhead(self):
        """Wall / (compile + evaluate + measure)."""
        return self.mean("wall") / (self.mean("compile") + self.mean("accuracy") + self.mean("latency"))


def compare(name, before, trials):
    """Print both versions' trials of a model."""
    with tempfile.TemporaryDirectory() as folder:
        path = configuration(name, Path(folder))
        sides = Version(before, path), Version(HERE, path)
        for number in range(trials + 1):
            for side in sides if number % 2 else reversed(sides):
                side.evaluate()
        for side in sides:
            side.close()
    old, new = sides
    same = all(one["value"] == other["value"] for one, other in zip(old.told, new.told, strict=True))
    print(f"{name}: {old.mean('wall') / new.mean('wall'):.2f} times the trials; scores {'' if same else 'not '}equal")
    print(f"  process time {old.mean('process') / new.mean('process'):.2f} times less")
    for label, side in (("before", old), ("now", new)):
        parts = ", ".join(f"{part} {side.mean(part):.0f}" for part in ("wall", "process", *PARTS))
        print(f"  {label}: {60_000 / side.mean('wall'):.0f} a minute, overhead {side.overhead():.3f}; ms: {parts}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("before", type=Path, help="the other version's working tree")
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--trials", type=int, default=20)
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
    else:
        asked = parser.parse_args()
        for each in asked.models:
            compare(each, asked.before, asked.trials)
