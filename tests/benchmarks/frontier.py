"""Searches that know their operations before the first trial, against those that do not, and against NNCF.

    python tests/benchmarks/frontier.py [--models digits-resnet,lines-crnn] [--seeds 5] [--minutes 35]
        [--precision f32] [--isa AVX2] [--trials 40] [--tables FILE]

The best valid latency ratio after 10, 20 and 40 trials: at random, by POT's TPE, by the search of 0.1.0 (two stages,
no survey), and with a survey; NNCF's quantize and accuracy control beside them. Then the trials and seconds until the
search says "keep FP32", the seconds to a valid model, and how well the survey predicts.

All searches of a model share one session: a model is scored, a structure measured and a base surveyed once for all of
them, and a search's seconds are those that its parts took when they were made. Models share the minutes; each has one
seed at least. The tables are written anew after each model, so that whoever interrupts it loses nothing. Latency is the
process's own time (``time.process_time``) of one thread, since others may use the machine; the survey's is the
plugin's, which is wall time. Prints Markdown.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
import traceback
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import scipy
from compare_nncf import controlled, timed
from compare_samplers import SCOPE
from compare_samplers import text as ratios_text
from searching import Memory, in_two_stages, open_session, search

from quantize_zoo.cell.candidates import Candidate
from quantize_zoo.cell.nncf import quantize_with_nncf
from quantize_zoo.cell.surveying import only
from quantize_zoo.config import BenchmarkParams
from quantize_zoo.scoring import compile_for_accuracy
from quantize_zoo.scoring.environment import ISA_VARIABLE
from quantize_zoo.search import Frontier, relative_accuracy_loss

MODELS = (
    "digits-resnet", "lines-crnn", "shapes-unet", "digits-vit", "opinions-encoder", "reviews-transformer",
    "digits-mobilenet", "shapes-upscaler", "faces-landmarks", "scenes-ssd",
)  # fmt: skip
COUNTS = (10, 20, 40)
BENCHMARK = BenchmarkParams(duration_seconds=0.3)
OWN_TIME = SimpleNamespace(perf_counter=time.process_time)
RANDOM_SETS = 12
TABLES = Path(tempfile.gettempdir()) / "frontier.md"
LEVELS = 8
BEFORE, NOW = "no survey, two stages", "survey, one stage"
CONTROL = "NNCF accuracy control"
RATIOS = ("model", "seeds", "made by", *(f"after {count} trials" for count in COUNTS), "trials")
SECONDS = (
    "model", "trials until it ended by itself", "seconds until then", "seconds to a valid model faster than FP32",
    f"{CONTROL}: seconds", "FP32 / INT8", "loss, %", "target, %", "seconds until as fast as that",
)  # fmt: skip
PREDICTED = (
    "model", "predicted speedup of the best choice [95 %]", "best measured", "rank correlation: gain", "loss",
    "change of answers", "choices", "survey (s)",
)  # fmt: skip


def parsed(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=lambda names: names.split(","), default=MODELS)
    parser.add_argument("--seeds", type=int, default=5, help="at most")
    parser.add_argument("--minutes", type=float, default=35.0, help="of all models")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--isa", help="instruction set that oneDNN is limited to")
    parser.add_argument("--trials", type=int, default=max(COUNTS))
    parser.add_argument("--tables", type=Path, default=TABLES, help=f"file for the tables, {TABLES}")
    return parser.parse_args(arguments)


class OwnTime(Memory):
    """Latency by the time of the process alone, which other processes do not take part in."""

    def measure(self, candidate):
        with patch("quantize_zoo.scoring.latency.time", OWN_TIME):
            return super().measure(candidate)


class Comparison:
    """The searches of a model, and NNCF's models of it."""

    def __init__(self, model, options):
        self.model = model
        self.session, self.prepared, self.config = open_session(
            model, options.precision, isa=options.isa, max_trials=options.trials, benchmark=BENCHMARK
        )
        self.scorer = OwnTime(self.session)
        self.allowed = self.config.optimizer.params.accuracy_loss
        self.found = {}

    def searches(self):
        """Each search's name, its configuration, how many of its trials are random, and whether it has a survey."""
        pot = self.config.with_optimizer({"compatibility": "pot"})
        scoped = self.config.model_copy(update={"compression": self.config.compression.scoped(**SCOPE)})
        random = pot.model_copy(update={"compression": scoped.compression})
        return {
            BEFORE: (in_two_stages(self.config), 10, False),
            NOW: (scoped, 10, True),
            "POT's TPE": (random, 10, False),
            "random": (random, 10**9, False),
        }

    def search(self, seed):
        """Run each search with one seed."""
        for name, (config, random_trials, surveyed) in self.searches().items():
            with patch("quantize_zoo.search.sampler._POT_RANDOM_TRIALS", random_trials):
                found = search(self.scorer, self.session, self.prepared, config, seed, surveyed=surveyed)
            self.found.setdefault(name, []).append(found)

    def nncf(self):
        """NNCF's models by name: FP32 / INT8, loss in percent, seconds to make it; or why there is none."""
        samples = self.session._calibration_samples(self.config.compression.tunable.stat_subset_size)
        makers = {
            "NNCF quantize": lambda: quantize_with_nncf(self.session._model, samples, self.config.compression),
            CONTROL: lambda: controlled(self.session, self.config, self.allowed / 100),
        }
        return {name: self.made_by(make) for name, make in makers.items()}

    def made_by(self, make):
        """What another tool makes of the model, or what it raises."""
        try:
            model, seconds = timed(make)
        except Exception as error:
            return f"{type(error).__name__}: {str(error).strip()[:80]}"
        return (*self.judged(model), seconds)

    def judged(self, model):
        """FP32 / INT8 and the loss in percent of any model of the network."""
        reference, candidate = self.prepared.reference, Candidate(model)
        accuracy = self.session._work.score(candidate).accuracy.value
        better = reference.higher_is_better
        lost = relative_accuracy_loss(reference.accuracy.value, accuracy, higher_is_better=better)
        with patch("quantize_zoo.scoring.latency.time", OWN_TIME):
            return self.session._work.measure(candidate).latency.ratio.value, 100 * lost

    def predictions(self):
        """Cells of a table: what a survey predicts of frontier points and random choices, and what is measured."""
        self.session.calibrate(self.prepared.base)
        survey = self.scorer.survey(self.prepared.base)
        if survey is None:
            return ["not surveyed"]
        frontier = Frontier(survey.operations)
        rng = np.random.default_rng(0)
        levels = np.geomspace(frontier.changes.sum(), max(2 * frontier.changes.min(), 1e-12), LEVELS)
        sets = [frontier.fastest(level) for level in levels]
        sets += [rng.random(len(frontier.names)) < rng.uniform(0.2, 0.95) for _ in range(RANDOM_SETS)]
        different = {each.tobytes(): each for each in sets if each.any()}.values()
        rows = [(*self.predicted(frontier, each), *self.measured(frontier, each)) for each in different]
        gains, changes, ratios, losses, falls = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
        bound = survey.speedup
        told = "" if bound is None else f"{bound.value:.2f} [{bound.low or np.nan:.2f}, {bound.high or np.nan:.2f}]"
        ranks = (correlation(gains, ratios), correlation(changes, losses), correlation(changes, falls))
        return [told, f"{ratios.max():.2f}", *ranks, str(len(rows)), f"{survey.seconds:.1f}"]

    @staticmethod
    def predicted(frontier, chosen):
        """FP32 / INT8 and the change of the output."""
        return frontier.speedup(chosen), frontier.change(chosen)

    def measured(self, frontier, chosen):
        """FP32 / INT8, the loss, and the change of what answers are judged by, nan where that has no grades."""
        quantized = [name for name, each in zip(frontier.names, chosen, strict=True) if each]
        candidate = self.scorer.build(only(self.prepared.base, quantized))[1]
        scored = self.scorer.score(candidate)
        answers = self.answers(compile_for_accuracy(candidate[1].model, self.session._device))
        ratio = self.scorer.measure(candidate).latency.ratio.value
        reference = self.prepared.reference
        better = reference.higher_is_better
        lost = relative_accuracy_loss(reference.accuracy.value, scored.accuracy.value, higher_is_better=better)
        return ratio, lost, np.nan if answers is None else np.mean((answers - self.fp32_answers) ** 2)

    @cached_property
    def fp32_answers(self):
        return self.answers(self.session._work.fp32.for_accuracy)

    def answers(self, compiled):
        """What samples' answers are judged by where that has grades: scores of the right class, else the metric's."""
        found = self.session._accuracy.answers(compiled, self.config.metric, self.session._split.scoring)
        return found.values if found.confidences is None else found.confidences


def correlation(one, other):
    """Spearman's, as text; empty where either tells nothing apart."""
    if not np.isfinite([one, other]).all() or not np.ptp(one) or not np.ptp(other):
        return ""
    return f"{scipy.stats.spearmanr(one, other).statistic:.2f}"


def ratio_rows(compared, nncf):
    for name, found in compared.found.items():
        cells = [ratios_text([each.best_ratio(count) for each in found]) for count in COUNTS]
        made = statistics.median(len(each.trials) for each in found)
        why = {each.partition(" is predicted")[0] for search in found for each in search.ended if each}
        yield compared.model, len(found), name, *cells, "; ".join([f"{made:g}", *why])
    for name, made in nncf.items():
        if isinstance(made, str):
            yield compared.model, "", name, made, "", "", ""
        else:
            valid = f"loss of {made[1]:.2f} % is {'within' if made[1] <= compared.allowed else 'beyond'} the target"
            yield compared.model, "", name, f"{made[0]:.3f}", valid, f"{made[2]:.1f} s", ""


def seconds_row(compared, nncf):
    found, control = compared.found[NOW], nncf[CONTROL]
    early = [each for each in found if any(each.ended)]
    trials = f"{statistics.median(len(each.trials) for each in early):g}" if early else ""
    spent = [each.surveying + sum(trial.seconds.total for trial in each.trials) for each in early]
    cells = [compared.model, trials, f"{statistics.median(spent):.0f}" if early else "", typical(found, 1.0)]
    if isinstance(control, str):
        return (*cells, control, "", "", f"{compared.allowed:g}", "")
    ratio, lost, seconds = control
    return (*cells, f"{seconds:.0f}", f"{ratio:.3f}", f"{lost:.2f}", f"{compared.allowed:g}", typical(found, ratio))


def typical(found, ratio):
    """The median of the seconds until a valid model is so fast, and how many searches had one."""
    seconds = [known for each in found if (known := each.seconds_until(ratio)) is not None]
    return f"{statistics.median(seconds):.0f} ({len(seconds)} of {len(found)})" if seconds else "never"


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def compare(model, options, until):
    """Rows of the three tables, of as many seeds as there is time for; one at least."""
    began = time.monotonic()
    compared = Comparison(model, options)
    nncf = compared.nncf()
    predicted = (model, *compared.predictions())
    longest = 0.0
    for seed in range(options.seeds):
        if seed and time.monotonic() + longest > until:
            break
        since = time.monotonic()
        compared.search(seed)
        longest = time.monotonic() - since
    print(f"{model}: {len(compared.found[NOW])} seeds in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return ratio_rows(compared, nncf), [seconds_row(compared, nncf)], [predicted]


def main(options):
    end = time.monotonic() + 60 * options.minutes
    headers, rows = (RATIOS, SECONDS, PREDICTED), ([], [], [])
    for number, model in enumerate(options.models):
        now = time.monotonic()
        try:
            found = compare(model, options, now + (end - now) / (len(options.models) - number))
            for kept, new in zip(rows, found, strict=True):
                kept.extend(new)
        except Exception:  # the other models are compared all the same
            print(f"{model}: {traceback.format_exc()}", file=sys.stderr, flush=True)
        text = "\n\n".join(table(*each) for each in zip(headers, rows, strict=True))
        options.tables.write_text(f"{text}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    asked = parsed(sys.argv[1:])
    if asked.isa and os.environ.get(ISA_VARIABLE) != asked.isa:  # oneDNN reads it as it is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {ISA_VARIABLE: asked.isa})
    main(asked)
