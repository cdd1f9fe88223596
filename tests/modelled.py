"""Models that are numbers: what quantizing each operation saves and loses is known, and so is the best choice."""

import math
from dataclasses import replace

import numpy as np

from builders import Alone, Scorer, latency, measurement
from quantize_zoo.config import OptimizerParams
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import OperationSurvey, Scored, Timed, TrialRecorder, run_stage
from unit.test_search import drained, layers, plan

PARAMS = OptimizerParams(accuracy_loss=1.0, max_trials=40)


def surveyed(name, before=(), saved=10.0, change=1e-4, entering=0.0, leaving=0.0, fp32=20.0):
    interval = Estimate(saved, saved - 0.5, saved + 0.5, "us", 6)
    return OperationSurvey(name, tuple(before), fp32, fp32 - saved, interval, entering, leaving, change)


def chain(count, **values):
    """Operations one after the other; values are functions of the position."""
    before = [[], *([f"op{index}"] for index in range(count - 1))]
    own = [{key: each(index) for key, each in values.items()} for index in range(count)]
    return [surveyed(f"op{index}", before[index], **own[index]) for index in range(count)]


class Modelled(Scorer):
    """Options whose time and loss add up of their operations'; with a ``power`` it is the root of losses that does."""

    def __init__(self, saved, lost, noise=0.0, power=1):
        super().__init__()
        self._saved, self._lost, self._power = np.array(saved), np.array(lost), power
        self._rng, self._noise = np.random.default_rng(0), noise

    def lost(self, mask):
        """The share of FP32's metric that is lost where these are quantized."""
        return min(1.0, float((self._lost[mask] ** (1 / self._power)).sum() ** self._power))

    def build(self, chosen):
        built, _ = super().build(chosen)
        return built, np.array([choice.quantize for choice in chosen.operations.values()])

    def score(self, mask, *, below=math.inf):
        self.scored.append(mask)
        found = measurement(1 - self.lost(mask), 1)
        return Scored(found.accuracy, found.metrics, None, False, 0.0, 0.0)

    def measure(self, mask):
        ratio = 1 / (1 - float(self._saved[mask].sum())) * float(np.exp(self._noise * self._rng.normal()))
        return Timed(latency(ratio), measurement(1, 1).execution, 0.0, 0.0)


class Ending(Modelled):
    """The same, whose evaluations end early where too much is lost."""

    def score(self, mask, *, below=math.inf):
        return replace(super().score(mask), hopeless=self.lost(mask) > max(0.02, below) and below < math.inf)


def searched(scorer, survey, until=40, params=PARAMS, space=None):
    count = len(survey.operations)
    recorder = TrialRecorder(params, 1.0)
    planned = replace(plan(operations=count, until=until, space=space or layers(count)), survey=survey)
    return drained(run_stage(planned, recorder, 0, Alone(scorer)))
