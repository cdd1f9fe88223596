"""What the scripts that compare searches share: a cell of the embedded zoo in this process, and a search on it."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from builders import Alone
from quantize_zoo.cell import Cell
from quantize_zoo.cell.session import CellSession
from quantize_zoo.config import DeviceSpec, load_model_config, search_stages
from quantize_zoo.config.model import StageParams
from quantize_zoo.quantization import derive_space, option_hash
from quantize_zoo.search import StagePlan, TrialRecorder, best_trial, run_stage

ZOO = Path(__file__).parents[2] / "model_zoo_configs" / "embedded"
MODELS = ("digits-resnet", "digits-mobilenet")


def open_session(model, precision=None, scope=None, isa=None, **params):
    """Return a prepared session of a model on the CPU, and what it prepared; ``scope`` of None is the default's.

    ``isa`` is what this process was started with.
    """
    config = load_model_config(ZOO / f"{model}.yml").with_optimizer(params)
    plain = config.compression.tunable.model_dump(exclude={"tuning_scope", "estimator_tuning_scope"})
    algorithm = {"name": "TunableQuantization", "params": plain | (scope or {})}
    compression = type(config.compression).model_validate({"algorithms": [algorithm]})
    config = config.model_copy(update={"compression": compression})
    statistics = Path(tempfile.mkdtemp())
    device = DeviceSpec(device="CPU", inference_precision=precision, isa=isa)
    session = CellSession(Cell(config, device), statistics, statistics)
    return session, session.prepare(), config


def in_two_stages(config):
    """The configuration with the stages of 0.1.0: range estimators, then single layers around the best of them."""
    first = round(0.4 * config.optimizer.params.max_trials)
    estimators = StageParams(max_trials=first, tuning_scope=("range_estimator",), estimator_tuning_scope=("preset",))
    layers = StageParams(max_trials=config.optimizer.params.max_trials - first, tuning_scope=("layer",))
    return config.with_optimizer({"stages": (estimators, layers)})


class Memory:
    """Candidates that are scored once a model and measured once a structure, for all searches that are compared.

    Bases are surveyed once, too.
    """

    def __init__(self, session):
        self._session, self._candidates = session, session._work
        self._scored, self._timed, self._surveys = {}, {}, {}

    def build(self, option):
        built, model = self._candidates.build(option)
        return built, (built, model)

    def score(self, candidate, *, below=math.inf):
        built, model = candidate
        key = (built.candidate, below)
        if key not in self._scored:
            self._scored[key] = self._candidates.score(model, below=below)
        return self._scored[key]

    def measure(self, candidate):
        built, model = candidate
        if built.structure not in self._timed:
            self._timed[built.structure] = self._candidates.measure(model)
        return self._timed[built.structure]

    def survey(self, base):
        key = option_hash(base)
        if key not in self._surveys:
            self._surveys[key] = self._session.survey(base)
        return self._surveys[key]


@dataclass
class Search:
    """The trials of a search, in order, why its stages ended, and the seconds that its surveys took."""

    trials: list
    params: object
    ended: tuple = ()
    surveying: float = 0.0

    def best_ratio(self, count):
        """The latency ratio of the best of the first trials; None if none is within the accuracy target."""
        best = best_trial(self.trials[:count], self.params)
        if best is None or 100 * best.score.accuracy_loss > self.params.accuracy_loss:
            return None
        return best.score.latency_ratio

    def seconds_until(self, ratio):
        """Seconds of survey and trials until one within the target is so much faster; None if none is."""
        seconds = self.surveying
        for trial in self.trials:
            seconds += trial.seconds.total
            valid = trial.score and 100 * trial.score.accuracy_loss <= self.params.accuracy_loss
            if valid and trial.score.latency_ratio >= ratio:
                return seconds
        return None


def search(candidates, session, prepared, config, seed, pool=None, *, surveyed=False):
    """Run all stages of a search, one trial after the other unless a pool says otherwise."""
    params = config.optimizer.params
    reference = prepared.reference
    recorder = TrialRecorder(params, reference.accuracy.value, higher_is_better=reference.higher_is_better)
    ended, seconds = [], 0.0
    for number, stage in enumerate(search_stages(config)):
        best = best_trial(recorder.trials, params)
        base = prepared.base if best is None else best.option
        calibration = session.calibrate(base)
        space = derive_space(prepared.placement, base, stage.compression)
        chooses = surveyed and "layer" in stage.compression.tunable.tuning_scope
        survey = candidates.survey(base) if chooses else None
        seconds += survey.seconds if survey else 0.0
        plan = StagePlan(
            number, base, space, stage.until, reference.operation_types, calibration.errors, survey=survey
        )  # fmt: skip
        ended.append(_run(run_stage(plan, recorder, seed, pool or Alone(candidates))))
    return Search(recorder.trials, params, tuple(ended), seconds)


def _run(trials):
    """Return what a stage returns when it has ended."""
    while True:
        try:
            next(trials)
        except StopIteration as ended:  # noqa: PERF203 - this is how it says so
            return ended.value
