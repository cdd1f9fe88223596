"""The baseline's configuration among tonight's trials: what is called best is worse only where that one has to go."""

from __future__ import annotations

from collections.abc import Sequence

from quantize_zoo.config import GateConfig, OptimizerParams
from quantize_zoo.quantization import ModelOption, operations_difference, option_hash
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import Trial, is_allowed, meets_accuracy, meets_size
from quantize_zoo.store import StoredBaseline


def usable(baseline: StoredBaseline | None, preset: ModelOption) -> ModelOption | None:
    """Return the baseline's configuration, if it is of the operations of tonight's preset."""
    if baseline is None or operations_difference(baseline.content.option, preset):
        return None
    return baseline.content.option


def find_incumbent(trials: Sequence[Trial], baseline: StoredBaseline | None) -> Trial | None:
    """Return the trial of the baseline's configuration."""
    wanted = None if baseline is None else option_hash(baseline.content.option)
    return next((trial for trial in trials if trial.option_hash == wanted), None)


def why_given_up(trial: Trial | None, params: OptimizerParams) -> str:
    """Tell why the baseline's configuration cannot be the best tonight; empty if it can.

    Latency is missed where all of its interval is.
    """
    if trial is None or trial.measurement is None:
        return "the baseline's configuration could not be tried with tonight's model and settings"
    lost, what = _loss(trial), "the baseline's configuration does not meet its targets"
    if not meets_accuracy(lost, params):
        return f"{what}: it loses {100 * lost:.2f} %, {params.accuracy_loss:g} % of FP32 are allowed"
    if trial.score is not None and trial.score.slower:
        return f"{what}: on {', '.join(trial.score.slower)} it is slower than FP32"
    if trial.score is not None and not meets_size(trial.score.size_ratio, params):
        ratio = trial.score.size_ratio
        told = "its size is not known" if ratio is None else f"its weights are {ratio:.2f} times smaller than FP32's"
        return f"{what}: {told}, the target is {params.size_reduce:g} times"
    latency = trial.measurement.latency
    high = None if latency is None else latency.ratio.high
    if latency is not None and high is not None and high < params.latency_reduce:
        return f"{what}: {latency.ratio.value:.2f}x is below the latency target of {params.latency_reduce:g}x"
    return ""


def find_challenger(
    ranking: Sequence[Trial], incumbent: Trial, params: OptimizerParams, gate: GateConfig
) -> Trial | None:
    """Return the best of the other trials that loses no more than the gate lets a night lose; None without one."""
    most = _loss(incumbent) + gate.max_accuracy_drop / 100
    return next(
        (
            trial
            for trial in ranking
            if trial.candidate != incumbent.candidate
            and trial.score is not None
            and is_allowed(trial.score, params)
            and _loss(trial) <= most
        ),
        None,
    )


def challenger_wins(ratio: Estimate | None, challenger: Trial, incumbent: Trial, gate: GateConfig) -> bool:
    """Tell whether a challenger is better: measurably faster, or clearly more accurate and not measurably slower.

    ``ratio`` is the incumbent's time / the challenger's, measured in turns; None where they run through the same
    kernels, or where latency is not measured.
    """
    faster = ratio is not None and ratio.low is not None and ratio.low > 1
    slower = ratio is not None and ratio.high is not None and ratio.high < 1
    return faster or (not slower and _loss(incumbent) - _loss(challenger) > gate.max_accuracy_drop / 100)


def _loss(trial: Trial) -> float:
    assert trial.score is not None, "ranked trials have a score"
    return trial.score.accuracy_loss
