"""Searches that know their operations before the first trial, against those that do not, on models of the embedded zoo.

    python tests/benchmarks/frontier.py SEEDS [PRECISION] [MODEL ...]

The best valid latency ratio after 10, 20 and 40 trials: at random, by POT's TPE, by the search without a survey, and
with one; then how well the survey predicts. All searches of a model share one session, and every model and structure is
measured once for all of them. On a shared machine time is the process's own (``time.process_time``), of one thread; the
survey's is the plugin's, which is wall time. Prints Markdown tables.
"""

import statistics
import sys
import time
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import scipy
from compare_samplers import SCOPE, text
from searching import Memory, in_two_stages, open_session, search

from quantize_zoo.cell.surveying import only
from quantize_zoo.config import BenchmarkParams
from quantize_zoo.search import Frontier, speedup

TRIALS = 40
COUNTS = (10, 20, 40)
BENCHMARK = BenchmarkParams(duration_seconds=0.4)
MODELS = ("digits-resnet", "digits-mobilenet", "reviews-transformer", "opinions-encoder")
OWN_TIME = SimpleNamespace(perf_counter=time.process_time)
RANDOM_SETS = 12
PREDICTED = (
    "model", "predicted speedup of the best choice [95 %]", "best measured", "rank correlation: gain", "loss",
    "choices", "survey (s)",
)  # fmt: skip


class OwnTime(Memory):
    """Latency by the time of the process alone, which other processes do not take part in."""

    def measure(self, candidate):
        with patch("quantize_zoo.scoring.latency.time", OWN_TIME):
            return super().measure(candidate)


def searches(config):
    """Each search's name, its configuration, how many of its trials are random, and whether it has a survey."""
    pot = config.with_optimizer({"compatibility": "pot"})
    scoped = config.model_copy(update={"compression": config.compression.scoped(**SCOPE)})
    random = pot.model_copy(update={"compression": scoped.compression})
    return {
        "random": (random, 10**9, False),
        "POT's TPE": (random, 10, False),
        "no survey, two stages": (in_two_stages(config), 10, False),
        "survey, one stage": (scoped, 10, True),
    }


def compare(model, precision, seeds):
    session, prepared, config = open_session(model, precision, max_trials=TRIALS, benchmark=BENCHMARK)
    scorer = OwnTime(session)
    for name, (changed, random_trials, surveyed) in searches(config).items():
        started = time.perf_counter()
        with patch("quantize_zoo.search.sampler._POT_RANDOM_TRIALS", random_trials):
            found = [search(scorer, session, prepared, changed, seed, surveyed=surveyed) for seed in range(seeds)]
        cells = [text([each.best_ratio(count) for each in found]) for count in COUNTS]
        made = statistics.median(len(each.trials) for each in found)
        ended = {why for each in found for why in each.ended if why}
        seconds = (time.perf_counter() - started) / seeds
        print(f"| {model} | {name} | {' | '.join(cells)} | {made:g} {'; '.join(ended)} | {seconds:.0f} |", flush=True)
    return predictions(model, session, prepared, scorer)


def predictions(model, session, prepared, scorer):
    """Rank correlations of what a survey predicts with what is measured, of frontier points and random choices."""
    session.calibrate(prepared.base)
    survey = session.survey(prepared.base)
    frontier = Frontier(survey.operations)
    rng = np.random.default_rng(0)
    levels = np.geomspace(frontier.changes.sum(), frontier.changes.min() * 2, 8)
    sets = [found for level in levels if (found := frontier.fastest(level)) is not None]
    sets += [rng.random(len(frontier.names)) < rng.uniform(0.2, 0.95) for _ in range(RANDOM_SETS)]
    rows = []
    for chosen in {each.tobytes(): each for each in sets}.values():
        quantized = [name for name, each in zip(frontier.names, chosen, strict=True) if each]
        _, candidate = scorer.build(only(prepared.base, quantized))
        ratio = scorer.measure((_, candidate[1])).latency.ratio.value
        loss = scorer.score((_, candidate[1]), prune=False).accuracy.value
        rows.append((speedup(frontier.fp32_us, frontier.saving(chosen)), ratio, frontier.change(chosen), -loss))
    predicted, ratios, changes, losses = zip(*rows, strict=True)
    gain, loss = (scipy.stats.spearmanr(*pair).statistic for pair in ((predicted, ratios), (changes, losses)))
    low, high = survey.speedup.low or np.nan, survey.speedup.high or np.nan
    return (
        f"| {model} | {survey.speedup.value:.2f} [{low:.2f}, {high:.2f}] | {max(ratios):.2f} "
        f"| {gain:.2f} | {loss:.2f} | {len(rows)} | {survey.seconds:.1f} |"
    )


def main(seeds, precision, models):
    print("| model | search | " + " | ".join(f"after {count} trials" for count in COUNTS) + " | trials | s a search |")
    print("| --- | --- | " + " | ".join("---" for _ in COUNTS) + " | --- | --- |")
    rows = [compare(model, precision, seeds) for model in models]
    print(f"\n| {' | '.join(PREDICTED)} |\n|{' --- |' * len(PREDICTED)}")
    print("\n".join(rows))


if __name__ == "__main__":
    seeds, *rest = sys.argv[1:] or ["5"]
    precision = rest[0] if rest and rest[0] in ("f32", "bf16") else None
    main(int(seeds), precision, [each for each in rest if each != precision] or MODELS)
