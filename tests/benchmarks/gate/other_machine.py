"""Nights without change on a machine with another instruction set than the baseline's: does anything raise an alarm?

    python tests/benchmarks/gate/other_machine.py [--nights 50] [--isa AVX]

The baseline is accepted with all that this CPU has, the nights run with oneDNN limited to an older set; each rebuilds
the best model and holds it against the baseline, accuracy and latency.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import yaml

ZOO = Path(__file__).parents[3] / "model_zoo_configs" / "embedded"


def zoo(*arguments, **environment):
    command = [sys.executable, "-m", "quantize_zoo", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    return done.returncode, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=50)
    parser.add_argument("--isa", default="AVX")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, reports = Path(name), ("--reports", f"{name}/reports")
        models = [str(ZOO / f"{model}.yml") for model in ("digits-mobilenet", "faces-landmarks")]
        devices = [{"device": "CPU", "inference_precision": "f32"}]
        (folder / "matrix.yml").write_text(yaml.safe_dump({"models": models, "devices": devices}))
        zoo("run", folder / "matrix.yml", "--max-trials", 2, *reports)
        zoo("baseline", "accept", *reports)
        nights, causes = Counter(), Counter()
        for _ in range(arguments.nights):
            status, out = zoo(
                "run", folder / "matrix.yml", "--trials-load-method", "eval", "--json", *reports,
                ONEDNN_MAX_CPU_ISA=arguments.isa,
            )  # fmt: skip
            nights[status] += 1
            for cell in json.loads(out)["cells"]:
                for check in (cell["gate"] or {"checks": ()})["checks"]:
                    causes[f"{check['cause']} {check['quantity']}: {check['status']}"] += 1
        print(json.dumps({"nights by exit status": nights, "checks": causes}, indent=1))


if __name__ == "__main__":
    main()
