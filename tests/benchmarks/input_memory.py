"""Peak memory of scoring a dataset whose preprocessed inputs do not fit the budget.

    python tests/benchmarks/input_memory.py [--images 3000] [--budgets 100000 100]

Images of the embedded digits, enlarged to 3x224x224 (0.6 MB each at f32), scored with each budget of so many MB in a
process of its own: by default with the inputs in memory, and with 100 MB. Mapped pages of files count as resident until
the system wants them back, so the memory that is really needed is told by the anonymous part.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

ZOO = Path(__file__).parents[2] / "model_zoo_configs" / "embedded"


def anonymous_mb():
    """Memory of this process that is no mapped file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon"))


def one(folder, budget_mb):
    import openvino as ov

    from quantize_zoo.config import DeviceSpec, load_model_config
    from quantize_zoo.graph.opset import opset13 as ops
    from quantize_zoo.scoring import AccuracySession, InputBudget, compile_for_accuracy, find_checker

    image = ops.parameter([1, 3, 224, 224], np.float32)
    image.output(0).set_names({"image"})
    weights = ops.constant(np.random.default_rng(0).normal(size=(10, 3, 7, 7)).astype(np.float32))
    features = ops.convolution(image, weights, [4, 4], [3, 3], [3, 3], [1, 1])
    scores = ops.softmax(ops.reduce_mean(features, np.array([2, 3]), False), 1)
    scores.output(0).set_names({"scores"})
    model = ov.Model([ops.result(scores)], [image])
    start, before = time.perf_counter(), anonymous_mb()
    budget = InputBudget(folder / "inputs", budget_mb * 1_000_000)
    session = AccuracySession(find_checker(), load_model_config(folder / "model.yml"), model, budget)
    session.score(compile_for_accuracy(model, DeviceSpec(device="CPU")))
    files = sum(file.stat().st_size for file in (folder / "inputs").rglob("*.bin")) / 1e6
    print(
        json.dumps(
            {
                "budget MB": budget_mb,
                "samples": len(session),
                "anonymous memory more MB": round(anonymous_mb() - before),
                "files MB": round(files),
                "seconds": round(time.perf_counter() - start, 1),
            }
        )
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--budgets", type=int, nargs="+", default=(100_000, 100))
    parser.add_argument("--one", nargs=2)
    arguments = parser.parse_args()
    if arguments.one:
        one(Path(arguments.one[0]), int(arguments.one[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = (ZOO / "data" / "digits.txt").read_text().splitlines()
        repeated = [lines[number % len(lines)].split() for number in range(arguments.images)]
        (folder / "images").mkdir()
        for number, (file, _) in enumerate(repeated):
            (folder / "images" / f"{number:05d}.png").symlink_to(ZOO / "data" / "digits" / file)
        text = "".join(f"{number:05d}.png {label}\n" for number, (_, label) in enumerate(repeated))
        (folder / "labels.txt").write_text(text)
        checker = yaml.safe_load((ZOO / "accuracy-check.yml").read_text())
        dataset = checker["models"][0]["datasets"][0]
        dataset |= {"data_source": "images", "preprocessing": [{"type": "resize", "size": 224}]}
        dataset["annotation_conversion"]["annotation_file"] = "labels.txt"
        (folder / "model.onnx").write_bytes(b"")
        config = {"name": "large", "model": "model.onnx", "accuracy_checker": checker, "metric": "accuracy@top1"}
        (folder / "model.yml").write_text(yaml.safe_dump(config))
        for budget in arguments.budgets:
            subprocess.run([sys.executable, __file__, "--one", folder, str(budget)], check=True)


if __name__ == "__main__":
    main()
