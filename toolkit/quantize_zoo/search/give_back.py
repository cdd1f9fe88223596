"""POT's accuracy-aware quantization as a search: quantized layers are given back by rank until accuracy is met.

The rank is that of the errors that single layers make. A layer whose return makes the accuracy worse is quantized again
and comes last. Once the accuracy is met, each layer that was given back on the way is tried quantized again: what the
target does not need costs speed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

from quantize_zoo.config import GiveBack
from quantize_zoo.config.compression import PIPELINE_ORDER
from quantize_zoo.config.model import WholeModelChange
from quantize_zoo.quantization import ModelOption, without_quantization
from quantize_zoo.search.evaluation import EvaluationPool
from quantize_zoo.search.labels import option_of
from quantize_zoo.search.loop import run_alone
from quantize_zoo.search.objective import meets_accuracy
from quantize_zoo.search.proposals import StagePlan
from quantize_zoo.search.recorder import TrialRecorder
from quantize_zoo.search.startup import whole_model_choices
from quantize_zoo.search.trial import Trial

Met = Callable[[Trial], bool]
_Options = Generator[ModelOption, Trial, None]  # options to evaluate, each answered by its trial


def change_whole_model(
    plan: StagePlan, terms: GiveBack, recorder: TrialRecorder, pool: EvaluationPool
) -> Iterator[Trial]:
    """Yield the base's trial and those of the terms' changes of the whole model, until one is accurate enough.

    Steps of the pipeline are left out in any case: that costs no speed, and may be more accurate.

    Raises:
        CellError: the base option cannot be evaluated.

    """
    yield from _run(plan, recorder, pool, lambda base, met: _changed(base, plan, terms, met))


def give_back(plan: StagePlan, terms: GiveBack, recorder: TrialRecorder, pool: EvaluationPool) -> Iterator[Trial]:
    """Yield the base's trial, those of layers given back until one is accurate enough, and of layers taken back.

    Raises:
        CellError: the base option cannot be evaluated.

    """
    quantized = (name for name, choice in plan.base.operations.items() if choice.quantize)
    layers = sorted(quantized, key=lambda name: -plan.errors.get(name, 0.0))
    yield from _run(plan, recorder, pool, lambda base, met: _given_back(base, layers, terms, met))


def is_met(trials: Sequence[Trial], recorder: TrialRecorder) -> bool:
    """Tell whether one of the trials is accurate enough."""
    return any(
        trial.score is not None and meets_accuracy(trial.score.accuracy_loss, recorder.params) for trial in trials
    )


def _run(
    plan: StagePlan, recorder: TrialRecorder, pool: EvaluationPool, options: Callable[[Trial, Met], _Options]
) -> Iterator[Trial]:
    def met(trial: Trial) -> bool:
        return is_met([trial], recorder)

    (base,) = run_alone(recorder.draft("base", plan.number, plan.base), recorder, pool)
    yield base
    steps = options(base, met)
    option = next(steps, None)
    while option is not None:
        (trial,) = run_alone(None, recorder, pool, recorder.draft("search", plan.number, option))
        yield trial
        try:
            option = steps.send(trial)
        except StopIteration:
            return


def _changed(base: Trial, plan: StagePlan, terms: GiveBack, met: Met) -> _Options:
    enough = met(base)
    for change in terms.changes:
        for name, choices in whole_model_choices(plan.space):
            if not _is_of(name, change):
                continue
            if enough and change != "pipeline":
                return
            trial = yield option_of(plan.space, plan.base, choices)
            enough = enough or met(trial)


def _is_of(variable: str, change: WholeModelChange) -> bool:
    """Tell whether a variable is of a kind of change: a step, the mode of activations, or what estimates ranges."""
    if variable in PIPELINE_ORDER:
        return change == "pipeline"
    if variable in ("activations", "weights", "quantize"):
        return variable == change
    return change == "estimator"


def _given_back(base: Trial, layers: Sequence[str], terms: GiveBack, met: Met) -> _Options:
    """Where no layer may stay quantized as it is, all are given back, which is FP32's model, and none is scored."""
    if met(base):
        return
    given: list[str] = []
    lost = _lost(base)
    tried = 0
    for keeps_all in (not terms.steps_back, True):
        for name in [each for each in layers if each not in given]:
            if tried == terms.most:
                return
            tried += 1
            if len(given) == len(layers) - 1:
                yield from _taken_back(base, layers, met)
                return
            trial = yield _without(base.option, (*given, name))
            if _lost(trial) > lost and not keeps_all:
                continue
            given.append(name)
            lost = _lost(trial)
            if met(trial):
                # The last that was given back was needed, as long as the others are.
                yield from _taken_back(base, given, met, needed=name)
                return


def _taken_back(base: Trial, given: Sequence[str], met: Met, needed: str | None = None) -> _Options:
    """Quantize layers again, those first that were given back last, which make the smallest errors."""
    kept = list(given)
    for name in reversed(given):
        if name == needed:
            continue
        fewer = [each for each in kept if each != name]
        trial = yield _without(base.option, fewer)
        if met(trial):
            kept = fewer


def _without(option: ModelOption, names: Sequence[str]) -> ModelOption:
    changed = {name: without_quantization(option.operations[name]) for name in names}
    return replace(option, operations={**option.operations, **changed})


def _lost(trial: Trial) -> float:
    """Return the accuracy that a trial loses; one that failed loses everything."""
    return float("inf") if trial.score is None else trial.score.accuracy_loss
