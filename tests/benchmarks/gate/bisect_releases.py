"""Searches for the OpenVINO release that made a model slower: how many find it, in how many steps and seconds?

    python tests/benchmarks/gate/bisect_releases.py [--searches 20] [--slowdown 0.10] [--model digits-resnet]

Every release is real, in an environment made by pip. From one release on, another one in each search, a wrapper lets
each timed inference of its runtime take longer by a share (tests/slowed_runtime.py). A search is the command
``quantize-zoo bisect``, from the oldest release to the newest.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from quantize_zoo.scoring import Interpreters, Release, this_release
from slowed_runtime import wrapper

ZOO = Path(__file__).parents[3] / "model_zoo_configs" / "embedded"
RELEASES = (
    "2023.3.0", "2024.0.0", "2024.2.0", "2024.4.0", "2024.6.0", "2025.0.0", "2025.2.0", "2025.4.0", "2026.0.0",
    "2026.2.0",
)  # fmt: skip


def zoo(*arguments, **environment):
    command = [sys.executable, "-m", "quantize_zoo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def told_of(values):
    return {"median": round(statistics.median(values), 1), "most": round(max(values), 1)} if values else {}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--slowdown", type=float, default=0.10)
    parser.add_argument("--model", default="digits-resnet")
    arguments = parser.parse_args()
    interpreters = Interpreters()
    releases = [*map(Release.find, RELEASES), this_release()]
    pythons = [interpreters.python(release) for release in releases]
    with tempfile.TemporaryDirectory() as name:
        folder, reports = Path(name), ("--reports", f"{name}/reports")
        # Only the wrapped ones are to be found: no index, and no other environment.
        alone = {
            "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull,
            "QUANTIZE_ZOO_OPENVINO_CACHE": f"{name}/cache",
        }  # fmt: skip
        matrix = {
            "models": [str(ZOO / f"{arguments.model}.yml")],
            "devices": [{"device": "CPU", "inference_precision": "f32"}],
        }
        (folder / "matrix.yml").write_text(yaml.safe_dump(matrix))
        for command in (("run", folder / "matrix.yml", "--max-trials", 1), ("baseline", "accept")):
            done = zoo(*command, *reports)
            assert done.returncode == 0, done.stderr
        found, seconds, looks, steps = [], [], [], []
        for search in range(arguments.searches):
            first_bad = 1 + search % (len(releases) - 1)
            runtimes = []
            for position, (release, python) in enumerate(zip(releases, pythons, strict=True)):
                share = arguments.slowdown if position >= first_bad else 0.0
                path = wrapper(folder / str(search) / str(release) / "python", python, "-", share)
                runtimes.append({"name": str(release), "python": str(path)})
            (folder / "matrix.yml").write_text(yaml.safe_dump({**matrix, "runtimes": runtimes}))
            started = time.perf_counter()
            ends = ("--from", str(releases[0]), "--to", str(releases[-1]))
            done = zoo("bisect", f"{arguments.model}-CPU[f32]", *ends, "--json", *reports, **alone)
            seconds.append(time.perf_counter() - started)
            told = json.loads(done.stdout)["answers"] if done.stdout else []
            answer = next((each for each in told if each["quantity"] == "latency"), None)
            right = answer is not None and (answer["good"], answer["bad"]) == (
                str(releases[first_bad - 1]), str(releases[first_bad])
            )  # fmt: skip
            found.append(right)
            if answer is not None:
                steps.append(len(answer["order"]))
                looks.append(sum(len(step["looks"]) for step in answer["steps"]))
            what = f"{answer['good']} -> {answer['bad']}" if answer else done.stderr.strip().splitlines()[-2:]
            print(f"{sum(found)} of {len(found)}: {releases[first_bad]}: {what}", file=sys.stderr, flush=True)
    print(
        json.dumps(
            {
                "releases": list(map(str, releases)),
                "slowdown": arguments.slowdown,
                "searches": len(found),
                "found": sum(found),
                "steps, both ends among them": told_of(steps),
                "measurements": told_of(looks),
                "seconds a search": told_of(seconds),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
