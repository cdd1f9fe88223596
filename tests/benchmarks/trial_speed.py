"""Speed and memory of a long search, as a user runs it.

    python tests/benchmarks/trial_speed.py MODEL.xml IMAGES.npz [trials]

IMAGES.npz has ``images`` (n, height, width) uint8 and ``labels`` (n,). Scope: layers and estimator presets. Prints
trials a minute, wall time / (build + compile + evaluate + measure), and the memory of the cell's process after 20
trials and at the end.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import yaml

from processes import cell_processes

EARLY = 20


def write_matrix(folder, model, images, trials):
    (folder / "images").mkdir()
    data = np.load(images)
    lines = []
    for index, (image, label) in enumerate(zip(data["images"], data["labels"], strict=True)):
        cv2.imwrite(str(folder / "images" / f"{index:04}.png"), image)
        lines.append(f"{index:04}.png {label}")
    (folder / "labels.txt").write_text("\n".join(lines) + "\n")
    size = int(data["images"].shape[1])
    dataset = {
        "name": "images", "data_source": "images", "preprocessing": [{"type": "resize", "size": size}],
        "annotation_conversion": {"converter": "imagenet", "annotation_file": "labels.txt"},
        "metrics": [{"name": "accuracy@top1", "type": "accuracy", "top_k": 1}],
    }  # fmt: skip
    launcher = {"framework": "openvino", "adapter": "classification"}
    scope = {"tuning_scope": ["layer", "range_estimator"], "estimator_tuning_scope": ["preset"]}
    content = {
        "name": model.stem, "model": str(model.resolve()), "metric": "accuracy@top1",
        "accuracy_checker": {"models": [{"name": model.stem, "launchers": [launcher], "datasets": [dataset]}]},
        "compression": {"algorithms": [{"name": "TunableQuantization", "params": scope}]},
        "optimizer": {"params": {"max_trials": trials, "accuracy_loss": 0.5, "holdout": 0}},
    }  # fmt: skip
    (folder / "model.yml").write_text(yaml.safe_dump(content, sort_keys=False))


def memory(pid):
    """Resident memory of the cell's process, MiB."""
    return max(each.memory_info().rss for each in cell_processes(pid)) / 2**20


def main(model, images, trials):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_matrix(folder, model, images, trials)
        command = [sys.executable, "-m", "quantize_zoo", "run", folder / "model.yml", "--reports", folder / "reports"]
        sizes = {}
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            for line in process.stderr:
                for count in (EARLY, trials - 1):
                    if f"({count}/{trials}):" in line:
                        sizes[count] = memory(process.pid)
        (cell,) = json.loads((folder / "reports" / "latest" / "results.json").read_text())["cells"]
    seconds = {
        part: sum(trial[f"{part}_s"] for trial in cell["trials"])
        for part in ("build", "compile", "accuracy", "latency", "overhead")
    }
    total, work = sum(seconds.values()), seconds["compile"] + seconds["accuracy"] + seconds["latency"]
    print(f"trials a minute: {60 * len(cell['trials']) / total:.0f}")
    print(f"wall time / (compile + evaluate + measure): {total / work:.3f}")
    print(", ".join(f"{part} {1000 * value / len(cell['trials']):.0f} ms" for part, value in seconds.items()))
    print(", ".join(f"memory after {count} trials: {size:.0f} MiB" for count, size in sizes.items()))
    print(f"not evaluated again: {sum(trial['reused_from'] is not None for trial in cell['trials'])}")
    print(f"ended early: {sum(trial['pruned'] is not None for trial in cell['trials'])}")
    ratio = cell["final"]["latency"]["speedup"]
    half = (ratio["high"] - ratio["low"]) / 2 / ratio["value"]
    print(f"best latency ratio: {ratio['value']:.3f} +- {100 * half:.1f} %")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 200)
