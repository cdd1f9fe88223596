"""What the scripts that compare searches share: a cell of the embedded zoo in this process, and a search on it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from quantize_zoo.cell import Cell
from quantize_zoo.cell.session import CellSession
from quantize_zoo.config import DeviceSpec, load_model_config, search_stages
from quantize_zoo.quantization import derive_space
from quantize_zoo.search import StagePlan, TrialRecorder, best_trial, run_stage

ZOO = Path(__file__).parents[2] / "model_zoo_configs" / "embedded"
MODELS = ("digits-resnet", "digits-mobilenet")


def open_session(model, precision=None, scope=None, **params):
    """Return a prepared session of a model on the CPU, and what it prepared; ``scope`` of None is the default's."""
    config = load_model_config(ZOO / f"{model}.yml").with_optimizer(params)
    plain = config.compression.tunable.model_dump(exclude={"tuning_scope", "estimator_tuning_scope"})
    algorithm = {"name": "TunableQuantization", "params": plain | (scope or {})}
    compression = type(config.compression).model_validate({"algorithms": [algorithm]})
    config = config.model_copy(update={"compression": compression})
    statistics = Path(tempfile.mkdtemp())
    session = CellSession(Cell(config, DeviceSpec(device="CPU", inference_precision=precision)), statistics, statistics)
    return session, session.prepare(), config


class Memory:
    """A scorer that measures every model and every structure once, for all searches that are compared."""

    def __init__(self, session):
        self._session = session
        self._scored, self._timed = {}, {}

    def build(self, option):
        self._built = self._session.build(option)
        return self._built

    def score(self, *, prune):
        key = (self._built.candidate, prune)
        if key not in self._scored:
            self._scored[key] = self._session.score(prune=prune)
        return self._scored[key]

    def measure(self):
        key = self._built.structure
        if key not in self._timed:
            self._timed[key] = self._session.measure()
        return self._timed[key]


@dataclass
class Search:
    """The trials of a search, in order."""

    trials: list
    params: object

    def best_ratio(self, count):
        """The latency ratio of the best of the first trials; None if none is within the accuracy target."""
        best = best_trial(self.trials[:count], self.params)
        if best is None or 100 * best.score.accuracy_loss > self.params.accuracy_loss:
            return None
        return best.score.latency_ratio


def search(scorer, session, prepared, config, seed):
    """Run all stages of a search."""
    params = config.optimizer.params
    recorder = TrialRecorder(scorer, params, prepared.reference.accuracy.value)
    types = prepared.reference.operation_types
    for number, stage in enumerate(search_stages(config)):
        best = best_trial(recorder.trials, params)
        base = prepared.base if best is None else best.option
        calibration = session.calibrate(base)
        space = derive_space(prepared.placement, base, stage.compression)
        plan = StagePlan(number, base, space, stage.until, types, calibration.errors)
        for _ in run_stage(plan, recorder, seed):
            pass
    return Search(recorder.trials, params)
