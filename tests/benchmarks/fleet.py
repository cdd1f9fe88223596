"""One model for a fleet against the models of its members' own cells.

    python tests/benchmarks/fleet.py SEEDS TRIALS MODEL... [--nights FOLDER]

For each seed the models are searched for each member by itself, and once for all of them, with the same number of
trials. The model of a member's cell is scored on the other members as a night does it (``portability``); the fleet's
on each of its members. A model is invalid somewhere if its loss is surely beyond the target there, on the samples of
the search or on those that the search never saw. Where a search says "keep FP32" nobody uses its model: that counts
as FP32, 1.0 times as fast and valid everywhere. Prints Markdown: for each model the share of seeds with a cell whose
model is invalid somewhere, the same of the fleet's, its mean ratio over that of the cells' own models (each on its
member, weighted by the shares), how many of them keep FP32, and the seconds of a trial: the fleet's, and those of the
members' cells together. A second table has FP32 / INT8 of each cell's model on its own member, and on it the best of
the other cells' models that does not surely lose too much there.
"""

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import yaml

from quantize_zoo.scoring.devices import available_instruction_sets

ZOO = Path(__file__).parents[2] / "model_zoo_configs" / "embedded"
BELOW = (
    "AVX512_CORE_VNNI",
    "AVX512_CORE",
    "AVX2_VNNI",
    "AVX",
)  # the third member: the first that is not the CPU itself
THIRD = next(each for each in BELOW if each in available_instruction_sets()[:-1])
MEMBERS = (
    {"device": "CPU", "share": 0.5},
    {"device": "CPU", "isa": "AVX2", "share": 0.3},
    {"device": "CPU", "isa": THIRD, "share": 0.2},
)
LABELS = {"CPU": 0.5, "CPU[AVX2]": 0.3, f"CPU[{THIRD}]": 0.2}
HEADER = (
    "| model | seeds | a cell's model is invalid on another member | the fleet's model is invalid | not played "
    "| fleet's mean ratio / the cells' own | cells, fleets that keep FP32 "
    "| seconds of a fleet's trial | of its members' cells together |"
)
OWN_HEADER = "| model | member | seeds | its cell's model there | best of the other cells' there | its own is faster |"


def table_head(header):
    return header + "\n|" + " --- |" * header.count(" | ") + " --- |"


def night(model, seed, trials, folder):
    """Run all cells of a model and the fleet, unless the folder has them; return the document's cells by device."""
    document = folder / f"{model}-{seed}-{trials}.json"
    if not document.exists():
        alone = [{key: value for key, value in member.items() if key != "share"} for member in MEMBERS]
        devices = [*alone, {"fleet": "fleet", "members": list(MEMBERS)}]
        matrix = folder / f"{model}-{seed}-{trials}.yml"
        matrix.write_text(yaml.safe_dump({"models": [str(ZOO / f"{model}.yml")], "devices": devices}))
        command = [
            sys.executable, "-m", "quantize_zoo", "run", matrix, "--reports", matrix.with_suffix(""),
            "--max-trials", str(trials), "--seed", str(seed), "--json",
        ]  # fmt: skip
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        json.loads(ended.stdout)
        document.write_text(ended.stdout)
    return {cell["device"]: cell for cell in json.loads(document.read_text())["cells"]}


def is_invalid(found, allowed):
    losses = [found["accuracy_loss_share"], found["holdout"] and found["holdout"]["accuracy_loss_share"]]
    return any(loss and loss["low"] is not None and loss["low"] > allowed for loss in losses)


def keeps_fp32(cell):
    return cell["verdict"]["status"] == "keep-fp32"


def speedup(cell):
    return 1.0 if keeps_fp32(cell) else cell["final"]["latency"]["speedup"]["value"]


def elsewhere(cell, precision):
    """What a cell's model is on the other members, by their names; None where the time did not suffice."""
    names = {f"CPU[{precision}]": "CPU"} | {label: label for label in LABELS}
    found = {names.get(each["environment"]): each for each in cell["final"]["portability"]}
    return {label: found.get(label) for label in LABELS if label != cell["device"]}


def seconds_of(cell):
    return median(
        sum(trial[f"{part}_s"] for part in ("build", "compile", "accuracy", "latency", "overhead"))
        for trial in cell["trials"]
        if trial["score"] and trial["reused_from"] is None
    )


def compare(cells):
    """Return for one seed: a cell's model invalid elsewhere, places not played, the fleet's, ratio, FP32, seconds."""
    own = {label: cells[label] for label in LABELS}
    fleet = cells["fleet"]
    used = [cell for cell in own.values() if not keeps_fp32(cell)]
    allowed = fleet["params"]["accuracy_loss"] / 100
    precision = own["CPU"]["reference"]["execution"]["inference_precision"]
    places = [each for cell in used for each in elsewhere(cell, precision).values()]
    played = [each for each in places if each is not None and not each["skipped"]]
    bad = any(is_invalid(each, allowed) for each in played)
    ours = [not keeps_fp32(fleet) and is_invalid(each, allowed) for each in fleet["final"]["members"]]
    logs = {label: math.log(speedup(cell)) for label, cell in own.items()}
    alone = math.exp(sum(LABELS[label] * value for label, value in logs.items()))
    kept = (len(own) - len(used), int(keeps_fp32(fleet)))
    seconds = seconds_of(fleet), sum(map(seconds_of, own.values()))
    return bad, len(places) - len(played), any(ours), speedup(fleet) / alone, kept, *seconds


def compare_members(cells):
    """Return by member FP32 / INT8 of its cell's model, and of the best other's on it that is not invalid there."""
    own = {label: cells[label] for label in LABELS}
    allowed = own["CPU"]["params"]["accuracy_loss"] / 100
    precision = own["CPU"]["reference"]["execution"]["inference_precision"]
    there = {label: [elsewhere(cell, precision).get(label) for cell in own.values()] for label in LABELS}
    others = {
        label: [each["latency"]["speedup"]["value"] for each in found if each and each["latency"]
                and not is_invalid(each, allowed)]
        for label, found in there.items()
    }  # fmt: skip
    return {label: (speedup(cell), max(others[label], default=math.nan)) for label, cell in own.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=int)
    parser.add_argument("trials", type=int)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--nights", type=Path)
    asked = parser.parse_args()
    found = {model: [] for model in asked.models}
    members = {model: [] for model in asked.models}
    with tempfile.TemporaryDirectory() as name:
        folder = asked.nights or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for model, seed in itertools.product(asked.models, range(asked.seeds)):
            cells = night(model, seed, asked.trials, folder)
            found[model].append(compare(cells))
            members[model].append(compare_members(cells))
            print(f"seed {seed}, {model}: {found[model][-1]}", file=sys.stderr, flush=True)
    print(table_head(HEADER))
    for model, rows in found.items():
        bad, skipped, ours, ratios, kept, fleets, sums = zip(*rows, strict=True)
        alone, together = (sum(each) for each in zip(*kept, strict=True))
        print(
            f"| {model} | {len(rows)} | {sum(bad)} | {sum(ours)} | {sum(skipped)} "
            f"| {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) "
            f"| {alone} of {len(rows) * len(LABELS)}, {together} of {len(rows)} "
            f"| {median(fleets):.2f} | {median(sums):.2f} |"
        )
    print("\n" + table_head(OWN_HEADER))
    for model, rows in members.items():
        for label in LABELS:
            own, other = zip(*(row[label] for row in rows), strict=True)
            ahead = sum(one > best for one, best in zip(own, other, strict=True))
            print(
                f"| {model} | {label} | {len(rows)} | {median(own):.3f} ({min(own):.3f} to {max(own):.3f}) "
                f"| {median(other):.3f} ({min(other):.3f} to {max(other):.3f}) | {ahead} |"
            )


if __name__ == "__main__":
    main()
