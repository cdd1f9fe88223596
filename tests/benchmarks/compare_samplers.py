"""The best valid latency ratio after 20, 40 and 60 trials: at random, by POT's TPE, and without a survey.

    python tests/benchmarks/compare_samplers.py [seeds]

All searches of a model share one session, and every model and structure is measured once for all of them, so that they
differ in what they ask for and not in noise. Prints a Markdown table.
"""

import statistics
import sys
from unittest.mock import patch

from searching import MODELS, Memory, in_two_stages, open_session, search

from quantize_zoo.config import BenchmarkParams

TRIALS = 60
BENCHMARK = BenchmarkParams(duration_seconds=0.4)
COUNTS = (20, 40, 60)
SCOPE = {"tuning_scope": ["layer", "range_estimator"], "estimator_tuning_scope": ["preset"]}


def searches(config):
    """Each search's name, its configuration, and how many of its trials are random."""
    pot = config.with_optimizer({"compatibility": "pot"})
    scoped = config.model_copy(update={"compression": config.compression.scoped(**SCOPE)})
    # A scope that is named is one stage.
    random = pot.model_copy(update={"compression": scoped.compression})
    return {
        "random": (random, 10**9),
        "POT's TPE": (random, 10),
        "no survey, one stage": (scoped, 10),
        "no survey, two stages": (in_two_stages(config), 10),
    }


def main(seeds):
    print("| model | search | " + " | ".join(f"after {count} trials" for count in COUNTS) + " |")
    print("| --- | --- | " + " | ".join("---" for _ in COUNTS) + " |")
    for model in MODELS:
        session, prepared, config = open_session(model, max_trials=TRIALS, benchmark=BENCHMARK)
        scorer = Memory(session)
        for name, (changed, random_trials) in searches(config).items():
            with patch("quantize_zoo.search.sampler._POT_RANDOM_TRIALS", random_trials):
                found = [search(scorer, session, prepared, changed, seed) for seed in range(seeds)]
            cells = [text([each.best_ratio(count) for each in found]) for count in COUNTS]
            print(f"| {model} | {name} | {' | '.join(cells)} |", flush=True)


def text(ratios):
    valid = [ratio for ratio in ratios if ratio is not None]
    if not valid:
        return "none valid"
    missed = f", {len(ratios) - len(valid)} of {len(ratios)} none valid" if len(valid) < len(ratios) else ""
    return f"{statistics.median(valid):.3f} ({min(valid):.3f} to {max(valid):.3f}{missed})"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
