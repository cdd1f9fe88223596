"""Searches of models whose savings and losses are known, and with them the best choice; no model is run.

    python tests/benchmarks/known_losses.py [--seeds 20] [--operations 20]

How much of what can be saved within a target of 1 % the best trial saves after 8, 15 and 30, in the middle of the
seeds and in the worst tenth: by the search with a survey, by the same where it blames nothing for what is far from
accurate enough, and by POT's TPE. Latency has an error of 1 %, the survey's savings one of 10 %. Prints Markdown.

- one: one operation loses half of the metric, and the survey has no idea which.
- two: two do, 30 and 10 %, likewise.
- half: half of them lose 10 % each; the survey's changes go with the losses, but for a factor.
- spread: all lose something, 0.2 % in the middle; likewise.
- compounding: the same of 0.03 %, and it is the root of losses that adds up.
"""

import argparse
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import scipy

sys.path.append(str(Path(__file__).parents[1]))  # the tests' own modules

from modelled import PARAMS, Ending, chain, searched
from quantize_zoo.search import Survey
from quantize_zoo.search.hopeless import FarOff

COUNTS = (8, 15, 30)
KINDS = ("one", "two", "half", "spread", "compounding")
LITTLE = 2e-4  # that an operation loses which is not to blame


def losses(kind, count, rng):
    """What each operation loses, and the power."""
    if kind in ("spread", "compounding"):
        middle, power = (2e-3, 1) if kind == "spread" else (3e-4, 2)
        return np.exp(rng.normal(np.log(middle), 1.0, count)), power
    lost = np.full(count, LITTLE)
    guilty = {"one": [0.5], "two": [0.3, 0.1], "half": [0.1] * (count // 2)}[kind]
    lost[rng.choice(count, len(guilty), replace=False)] = guilty
    return lost, 1


def problem(kind, count, seed):
    """A scorer, a survey, and the share of FP32's time that the best choice saves."""
    rng = np.random.default_rng(seed)
    saved = np.clip(rng.normal(0.7, 0.5, count), -0.3, 2.0) / count
    lost, power = losses(kind, count, rng)
    guess = lost if kind in ("half", "spread", "compounding") else np.full(count, 1e-3)
    changes = (guess * np.exp(rng.normal(0, 1.0, count))) ** 2
    expected = saved * np.exp(rng.normal(0, 0.1, count))
    operations = chain(
        count, saved=lambda at: 100 * expected[at], fp32=lambda _: 100 / count, change=lambda at: changes[at]
    )
    allowed = (PARAMS.accuracy_loss / 100) ** (1 / power)
    within = scipy.optimize.LinearConstraint(lost[None] ** (1 / power), ub=allowed)
    best = scipy.optimize.milp(-saved, integrality=np.ones(count), bounds=(0, 1), constraints=within)
    return Ending(saved, lost, 0.01, power), Survey(tuple(operations), None, 0.0), -best.fun


def reached(kind, count, seed, params):
    """The share of the best choice's savings that the best trial has, after so many trials."""
    scorer, survey, most = problem(kind, count, seed)
    found, _ = searched(scorer, survey, until=max(COUNTS), params=params)
    shares = [
        1 - 1 / each.score.latency_ratio if each.score and each.score.accuracy_loss <= params.accuracy_loss / 100 else 0
        for each in found
    ]
    return [max(0.0, *shares[:trials]) / most for trials in COUNTS]


def main():
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--operations", type=int, default=20)
    arguments = parser.parse_args()
    blames = {"survey": FarOff._to_blame, "survey, blames nothing": lambda _self, chosen, _times: chosen}
    print("| what loses | search |", *(f"after {trials} trials: middle, worst tenth |" for trials in COUNTS))
    print("|" + " --- |" * (2 + len(COUNTS)))
    for kind in KINDS:
        for name in (*blames, "POT's TPE"):
            params = PARAMS if name in blames else PARAMS.model_copy(update={"compatibility": "pot"})
            with patch.object(FarOff, "_to_blame", blames.get(name, FarOff._to_blame)):
                rows = [reached(kind, arguments.operations, seed, params) for seed in range(arguments.seeds)]
            cells = (f"{middle:.2f}, {worst:.2f}" for worst, middle in np.quantile(rows, (0.1, 0.5), axis=0).T)
            print(f"| {kind} | {name} |", *(f"{cell} |" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
