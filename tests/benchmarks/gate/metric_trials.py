"""False alarms and misses of the accuracy gate for each kind of metric, in nights of 1, 50 and 500 cells.

    python tests/benchmarks/gate/metric_trials.py rates [--nights 100] [--datasets 300] [--kinds PSNR mAP]
    python tests/benchmarks/gate/metric_trials.py coverage [--datasets 200] [--kinds mAP]
    python tests/benchmarks/gate/metric_trials.py selection
    python tests/benchmarks/gate/metric_trials.py latency

``rates`` draws datasets of two models that are disturbed alike, so that it is known that neither is better; then every
check of a night without change is of two models that answer differently, on so few samples that the noise is as wide as
the margin, which is the worst that a check meets. For nights with a change the second model is harmed until it loses
1.5 times the margin, and the dataset is as large as the gate asks for, or a quarter of that. ``coverage`` computes mAP
and mean IoU with the accuracy checker itself: how often the interval has the true difference, which is that of a
dataset fifty times as large. ``selection`` takes the best of 60 equal candidates by the samples of a search.
``latency`` draws rounds whose ratio is known; a round deviates by 1 %, some by much more (Student's t, 4 degrees).
"""

import argparse
import json
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from quantize_zoo.config import GateConfig
from quantize_zoo.gate import check_level, checks_a_cell, judge_accuracy, judge_latency, resolve
from quantize_zoo.scoring import Answers, Replicates, find_checker, replicated_difference
from quantize_zoo.scoring.replicates import groups_of, replicate

MARGIN = GateConfig().max_accuracy_drop / 100
CELLS = {1: 20, 50: 5, 500: 1}  # and how many times as many nights there are of so few
ACCURACIES = 4  # of a cell's checks: two of the runtime, quantization, search
LOSS = 1.5 * MARGIN
LARGE = 400_000
BLOCK = 100


@dataclass
class Values:
    """Answers with a value for each sample, and of a classifier the score of the right class."""

    values: np.ndarray
    confidences: np.ndarray | None = None

    def part(self, part):
        return Values(self.values[part], None if self.confidences is None else self.confidences[part])

    def metric(self):
        return float(self.values.mean())

    def replicates(self):
        return None

    def __len__(self):
        return len(self.values)


@dataclass
class Masks:
    """Confusion matrices (samples, classes, classes); the metric is the mean IoU."""

    confusions: np.ndarray
    values = confidences = None

    def part(self, part):
        return Masks(self.confusions[part])

    def metric(self):
        return float(_iou(self.confusions.sum(0)))

    def replicates(self):
        groups, total = groups_of(range(len(self))), self.confusions.sum(0)
        without = np.stack([total - self.confusions[group].sum(0) for group in groups])
        return Replicates(_iou(without), np.array([len(group) for group in groups]))

    def __len__(self):
        return len(self.confusions)


def _iou(each):
    hit = np.diagonal(each, axis1=-2, axis2=-1)
    return (hit / (each.sum(-1) + each.sum(-2) - hit)).mean(-1)


@dataclass
class Boxes:
    """Detections with scores, whether they hit, and the sample of each; objects (samples,). The metric is mAP."""

    hits: np.ndarray
    scores: np.ndarray
    owners: np.ndarray
    objects: np.ndarray
    values = confidences = None

    def metric(self):
        return float(self._precision(np.ones((1, len(self.hits))), np.array([self.objects.sum()]))[0])

    def replicates(self):
        groups = groups_of(range(len(self)))
        member = np.zeros(len(self), dtype=np.int64)
        for number, group in enumerate(groups):
            member[group] = number
        rows = (member[self.owners][None, :] != np.arange(len(groups))[:, None]).astype(float)
        total = self.objects.sum() - np.array([self.objects[group].sum() for group in groups])
        return Replicates(self._precision(rows, total), np.array([len(group) for group in groups]))

    def _precision(self, rows, total):
        order = np.argsort(-self.scores, kind="stable")
        kept = rows[:, order]
        steps = kept * self.hits[order]
        precision = np.cumsum(steps, axis=1) / np.maximum(np.cumsum(kept, axis=1), 1e-12)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        return (steps * envelope).sum(axis=1) / total

    def __len__(self):
        return len(self.objects)


# Each kind draws both models' answers; ``harm`` is what the second is worse by, in units of its own.


def landmarks(rng, samples, harm):
    """Errors, better when lower; skewed, and what errs much also moves much."""
    base = rng.lognormal(0, 0.5, samples)
    return tuple(Values(base * np.exp(rng.normal(0, 0.035, samples)) + each) for each in (0, harm))


def psnr(rng, samples, harm):
    base = rng.normal(30, 4, samples)
    return tuple(Values(base + rng.normal(0, 1, samples) - each) for each in (0, harm))


def skewed(rng, samples, harm):
    """A few samples gain much and all others lose a little: without the few a dataset shows a sure loss."""
    base = rng.normal(30, 4, samples)
    gained = (rng.exponential(1, samples) - 1) * 1.4
    return Values(base), Values(base + gained - harm)


def strings(rng, samples, harm):
    """Right and wrong strings, as CTC decodes them; no score of the right one is known."""
    base = rng.normal(1.3, 1, samples)
    return tuple(Values((base + rng.normal(0, 0.04, samples) > each).astype(float)) for each in (0, harm))


def classes(rng, samples, harm):
    """Right and wrong with the score of the right class, from which they follow."""
    base = rng.normal(2.6, 2, samples)
    found = []
    for each in (0, harm):
        logit = base + rng.normal(0, 0.15, samples) - each
        found.append(Values((logit > 0).astype(float), 1 / (1 + np.exp(-logit))))
    return tuple(found)


def masks(rng, samples, harm):
    """Three classes of unequal area; some samples are hard, for both models."""
    base, sizes = rng.normal(-1.8, 0.6, samples), rng.dirichlet([4, 2, 2], samples) * 1000
    found = []
    for each in (0, harm):
        wrong = 1 / (1 + np.exp(-(base + rng.normal(0, 0.15, samples) + each)))
        matrix = np.repeat((sizes * wrong[:, None] / 2)[:, :, None], 3, axis=2)
        matrix[:, range(3), range(3)] = sizes * (1 - wrong[:, None])
        found.append(Masks(matrix))
    return tuple(found)


def boxes(rng, samples, harm):
    """Objects that overlap more or less well with what is found, and things that are none."""
    objects = rng.integers(1, 6, samples)
    owners = np.concatenate([np.repeat(np.arange(samples), objects), rng.integers(0, samples, samples)])
    real = np.arange(len(owners)) < objects.sum()
    overlap = np.where(real, rng.normal(1.4, 1, len(owners)), -9)
    base = np.where(real, rng.normal(1.5, 1, len(owners)), rng.normal(-0.5, 1, len(owners)))
    return tuple(
        Boxes(
            (overlap + rng.normal(0, 0.05, len(owners)) > each).astype(float),
            base + rng.normal(0, 0.05, len(owners)),
            owners,
            objects,
        )
        for each in (0, harm)
    )


KINDS = {
    "classes": (classes, True), "strings (CTC)": (strings, True), "landmarks": (landmarks, False),
    "PSNR": (psnr, True), "skewed": (skewed, True), "mean IoU": (masks, True), "mAP": (boxes, True),
}  # fmt: skip


def relative_loss(first, second, higher):
    return (1 if higher else -1) * (first.metric() - second.metric()) / abs(first.metric())


def judged(first, second, higher, level):
    pairs = first.replicates(), second.replicates()
    confidences = first.confidences, second.confidences
    return judge_accuracy(
        (first.metric(), first.values), (second.metric(), second.values), identical=False, higher_is_better=higher,
        margin=MARGIN, level=level, replicates=None if pairs[0] is None else pairs,
        confidences=None if confidences[0] is None else confidences,
    )  # fmt: skip


def answers_of(model):
    """A model's answers as the gate keeps them."""
    names = np.array([f"{number:08}" for number in range(len(model))])
    nothing = np.zeros(len(model), dtype=np.uint64)
    return Answers(
        "m", {"m": model.metric()}, names, nothing, names, model.values, model.confidences, model.replicates()
    )


def deviation_of_one(draw, higher, rng):
    """The relative standard deviation of the difference on one sample, from many."""
    first, second = draw(rng, 20_000, 0.0)
    if first.values is not None:
        return float((first.values - second.values).std()) / abs(first.metric())
    _, deviation, _ = replicated_difference(
        first.metric(), second.metric(), first.replicates(), second.replicates()
    )  # fmt: skip
    return deviation * math.sqrt(20_000) / abs(first.metric())


def rates(nights, datasets, kinds):
    for name in kinds:
        draw, higher = KINDS[name]
        rng = np.random.default_rng(0)
        samples = max(100, round((deviation_of_one(draw, higher, rng) / MARGIN) ** 2))

        def lost(harm, draw=draw, higher=higher):
            return relative_loss(*draw(np.random.default_rng(1), LARGE, harm), higher)

        luck = lost(0.0)  # of that draw; the models are equally good
        harm = float(optimize.brentq(lambda each, luck=luck: lost(each) - luck - LOSS, 0, 2, xtol=1e-4))
        result = {"kind": name, "samples of unchanged nights": samples, "true loss": round(lost(harm) - luck, 5)}
        for cells, times in CELLS.items():
            level = check_level(GateConfig(), cells, checks_a_cell(GateConfig()))
            count = nights * times * cells * ACCURACIES
            alarms = beyond = 0
            alarming = set()
            for number, (first, second) in enumerate(unchanged(draw, rng, samples, count)):
                if relative_loss(first, second, higher) > MARGIN:  # nothing else is an alarm
                    beyond += 1
                    if judged(first, second, higher, level).status == "regressed":
                        alarms += 1
                        alarming.add(number // (cells * ACCURACIES))
            needed = needed_of(draw, rng, level)
            found = {}
            for share in (1, 0.25):
                size = round(share * needed)
                verdicts = [judged(*draw(rng, size, harm), higher, level) for _ in range(datasets)]
                told = sum(each.status == "inconclusive" and each.more_samples is not None for each in verdicts)
                statuses = Counter(each.status for each in verdicts)
                found[f"{size} samples"] = {
                    "found": statuses["regressed"] / datasets, "undecided, and told": told / datasets,
                    "within the margin": statuses["changed"] / datasets,
                }  # fmt: skip
            result[f"{cells} cells"] = {
                "checks": count, "beyond the margin": beyond, "alarms": alarms, "nights": count // (cells * ACCURACIES),
                "nights with an alarm": len(alarming), **found,
            }  # fmt: skip
        print(json.dumps(result), flush=True)


def unchanged(draw, rng, samples, count):
    """Yield the answers of both models on one dataset after another, drawn many at once where they can be divided."""
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        if draw is boxes:
            yield from (draw(rng, samples, 0.0) for _ in range(size))
            continue
        both = draw(rng, samples * size, 0.0)
        for number in range(size):
            yield tuple(each.part(slice(number * samples, (number + 1) * samples)) for each in both)


def needed_of(draw, rng, level):
    """How many samples the gate asks for, asked on datasets that it finds too small; what it says varies."""
    size = 20_000
    while size > 50:
        found = [resolve(*map(answers_of, draw(rng, size, 0.0)), MARGIN, level) for _ in range(9)]
        if all(each is not None and not each.suffices for each in found):
            return int(np.median([each.needed for each in found]))
        size //= 2
    return size


def selection(datasets=400, candidates=60):
    """One model is the best of 60 equal ones by the samples of its search, the other is not; or both are."""
    rng, level = np.random.default_rng(0), check_level(GateConfig(), 1)
    tuning, holdout = 1400, 600
    count = tuning + holdout
    for name, before, now, true in (
        ("both sides the best of 60, equal", candidates, candidates, 0.0),
        ("the baseline the best of 60, tonight one as good", candidates, 1, 0.0),
        ("the baseline one, tonight the best of 60 that all lost 2 %", 1, candidates, 0.02),
    ):
        seen = {"all samples": Counter(), "holdout": Counter()}
        shown = {"all samples": [], "holdout": []}
        scale = math.hypot(1, 0.1)
        shift = 1.3 + scale * float(stats.norm.isf(stats.norm.sf(-1.3 / scale) * (1 - true)))

        def best_of(base, tried, threshold):
            answers = (base[None, :] + rng.normal(0, 0.1, (tried, count)) > threshold).astype(float)
            return answers[answers[:, :tuning].mean(axis=1).argmax()]

        for _ in range(datasets):
            base = rng.normal(1.3, 1, count)
            first, second = best_of(base, before, 0.0), best_of(base, now, shift)
            for where, of in (("all samples", slice(None)), ("holdout", slice(tuning, None))):
                pair = [(each[of].mean(), each[of]) for each in (first, second)]
                verdict = judge_accuracy(*pair, identical=False, higher_is_better=True, margin=MARGIN, level=level)
                seen[where][verdict.status] += 1
                shown[where].append(verdict.loss.value)
        for where, statuses in seen.items():
            told = {status: number / datasets for status, number in statuses.items()}
            mean = round(float(np.mean(shown[where])), 5)
            print(json.dumps({"models": name, "judged on": where, "true": true, "mean loss": mean, **told}), flush=True)


def latency(pairs=300):
    margin = GateConfig().max_latency_increase / 100
    for cells in CELLS:
        for ratio in (1.0, 1 + 1.5 * margin, 1.05, 1.1):
            level, rng = check_level(GateConfig(), cells), np.random.default_rng(2)
            found = [_judged_rounds(rng, math.log(ratio), margin, level) for _ in range(pairs)]
            statuses, rounds = Counter(status for status, _ in found), [taken for _, taken in found]
            taken = {"rounds, median": float(np.median(rounds)), "at most": max(rounds)}
            print(json.dumps({"cells": cells, "true ratio": ratio, **statuses, **taken}), flush=True)


def _judged_rounds(rng, true, margin, level):
    taken = 0

    def measure():
        nonlocal taken
        while True:
            taken += 1
            yield true + 0.01 * rng.standard_t(4) / math.sqrt(2)

    return judge_latency(measure, margin, level).status, taken


def coverage(datasets, kinds):
    """The checker's own mAP and mean IoU: does the interval have the true difference, and how often?"""
    checker = find_checker()
    for name, make in {"mAP": _detector, "mean IoU": _segmenter}.items():
        if name not in kinds:
            continue
        metric_of, count = make(checker)
        truth = metric_of(0, range(count)) - metric_of(1, range(count))
        rng, size, hits, scores = np.random.default_rng(0), count // 50, 0, []
        for _ in range(datasets):
            difference, deviation, degrees = _jackknife(metric_of, rng.choice(count, size, replace=False))
            score = (difference - truth) / deviation
            scores.append(score)
            hits += abs(score) <= stats.t.ppf(0.975, degrees)
        print(json.dumps({
            "metric": name, "samples": size, "true difference": round(truth, 5), "datasets": datasets,
            "covered": hits / datasets, "deviation of scores": round(float(np.std(scores)), 3),
        }), flush=True)  # fmt: skip


def _jackknife(metric_of, drawn):
    sides = [
        (metric_of(side, drawn), replicate(lambda kept, s=side: metric_of(s, drawn[kept]), range(len(drawn))))
        for side in (0, 1)
    ]
    (first, of_first), (second, of_second) = sides
    return replicated_difference(first, second, of_first, of_second)


def _metric_of(checker, configuration, dataset, sides):
    """Return the checker's metric of one side's predictions for some samples."""
    executor = checker.module("metrics").MetricsExecutor([configuration], dataset)
    function = executor.metrics[0].metric_fn

    def metric_of(side, indices):
        executor.reset()
        annotations, predictions = sides[side]
        if not executor.need_store_predictions:
            for index in indices:
                function.submit(annotations[index], predictions[index])
            value = function([], [])
        else:
            value = function([annotations[index] for index in indices], [predictions[index] for index in indices])
        return float(np.mean(value))

    return metric_of


class _Dataset:
    """What the checker's metrics ask a dataset for."""

    def __init__(self, labels):
        self.metadata = {"label_map": dict(enumerate(labels)), "background_label": None}
        self.labels = self.metadata["label_map"]
        self.name, self.config = "drawn", {}


def _detector(checker, count=6000):
    """Three classes of objects; the second side's boxes are a little off."""
    kinds = checker.module("representation")
    rng = np.random.default_rng(0)
    annotations, sides = [], ([], [])
    for number in range(count):
        name, objects = f"{number}.png", rng.integers(1, 5)
        corner, extent = rng.uniform(0, 60, (objects, 2)), rng.uniform(15, 35, (objects, 2))
        labels = rng.integers(0, 3, objects)
        place = np.hstack([corner, corner + extent])
        annotations.append(kinds.DetectionAnnotation(name, labels, *place.T))
        shared, certain = rng.normal(0, 3, (objects, 4)), rng.beta(5, 2, objects)
        for side, (blur, found) in enumerate(((0.5, 0.95), (1.5, 0.93))):
            boxes_found = place + shared + rng.normal(0, blur, (objects, 4))
            kept = rng.random(objects) < found
            false = rng.uniform(0, 60, (1, 2))
            boxes_found = np.vstack([boxes_found[kept], np.hstack([false, false + 20])])
            scores = np.append(np.clip(certain + rng.normal(0, 0.05, objects), 0, 1)[kept], rng.beta(2, 3))
            sides[side].append(
                kinds.DetectionPrediction(name, np.append(labels[kept], rng.integers(0, 3)), scores, *boxes_found.T)
            )
    configuration = {"type": "map", "overlap_threshold": 0.5, "include_boundaries": False}
    dataset = _Dataset(["a", "b", "c"])
    return _metric_of(checker, configuration, dataset, [(annotations, side) for side in sides]), count


def _segmenter(checker, count=10_000):
    """Three classes in small pictures; the second side errs a little more."""
    kinds = checker.module("representation")
    rng = np.random.default_rng(0)
    annotations, sides = [], ([], [])
    for number in range(count):
        mask = np.kron(rng.choice(3, (4, 4), p=[0.6, 0.3, 0.1]), np.ones((4, 4), dtype=int))
        annotation = kinds.SegmentationAnnotation(f"{number}.png", None)
        annotation.mask = mask
        annotations.append(annotation)
        hard, luck = rng.beta(2, 12), rng.random(mask.shape)
        for side, worse in enumerate((1.0, 1.1)):
            wrong = np.where(rng.random(mask.shape) < 0.3, rng.random(mask.shape), luck) < hard * worse
            answer = np.where(wrong, rng.integers(0, 3, mask.shape), mask)
            sides[side].append(kinds.SegmentationPrediction(f"{number}.png", answer))
    configuration = {"type": "mean_iou", "use_argmax": False}
    dataset = _Dataset(["a", "b", "c"])
    return _metric_of(checker, configuration, dataset, [(annotations, side) for side in sides]), count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("rates", "coverage", "selection", "latency"))
    parser.add_argument("--nights", type=int, default=100)
    parser.add_argument("--datasets", type=int, default=300)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    if arguments.what == "rates":
        rates(arguments.nights, arguments.datasets, arguments.kinds)
    elif arguments.what == "coverage":
        coverage(arguments.datasets, arguments.kinds)
    elif arguments.what == "selection":
        selection()
    else:
        latency()


if __name__ == "__main__":
    main()
