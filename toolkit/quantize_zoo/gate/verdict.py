"""The verdict on a cell, made once from its targets and from its gate; whatever tells of a cell reads it from here."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from quantize_zoo.gate.checks import Check, GateResult, GateStatus
from quantize_zoo.gate.portability import portability_warnings
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Estimate, PairedLatency
from quantize_zoo.search import Score, meets_accuracy, meets_size
from quantize_zoo.store import CellRecord, Elsewhere, Final, RunRecord

TargetName = Literal["accuracy", "holdout accuracy", "latency", "size"]
TargetStatus = Literal["met", "missed", "undecided", "not measured"]
# What a cell is by its targets alone; keep-fp32 is one whose latency target is not met and whose INT8 model is not
# measurably faster than FP32, where measuring could have told.
TargetsStatus = Literal["met", "missed", "undecided", "keep-fp32", "unavailable", "failed", "interrupted"]
VerdictStatus = TargetsStatus | GateStatus
# What somebody has to look at; the exit status of a run follows from these.
Alarm = Literal["regression", "missed target", "failure"]
_WORTH = 1.1  # FP32 time / INT8 time for which somebody would give FP32 up
_SAME = Estimate(1.0, 1.0, 1.0, "x", 0)  # FP32 time / that of the same model
_UNFINISHED = ("unavailable", "failed", "interrupted")
_TOLD = (
    "failed",
    "regressed",
    "interrupted",
    "data-changed",
    "inconclusive",
    "changed",
)  # statuses of checks that need words


@dataclass(frozen=True)
class TargetCheck:
    """One figure against its target, and both in words."""

    name: TargetName
    status: TargetStatus
    text: str


@dataclass(frozen=True)
class Verdict:
    """What a cell is.

    ``status`` is the cell in one word: against its baseline where it has one, unless it failed or a required target is
    missed, which is worse than passing there. ``cause`` is that of a regression (runtime, quantization, search,
    model), of changed data (data), of a miss (the target's name), or where a failed cell failed; else it is empty.
    ``targets`` and ``checks`` are empty where nothing was measured, and ``gate_status`` is None where no cell has a
    baseline. ``warnings`` change nothing of all that: they tell where the best model does not hold, and which members
    of a fleet it was never run on.
    """

    status: VerdictStatus
    reason: str
    cause: str
    alarms: tuple[Alarm, ...]
    target_status: TargetsStatus
    targets: tuple[TargetCheck, ...] = ()
    gate_status: GateStatus | None = None
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Against:
    """What a cell is against its targets."""

    status: TargetsStatus
    reason: str
    cause: str = ""
    checks: tuple[TargetCheck, ...] = ()


def judge(
    cell: CellRecord,
    run: RunRecord,
    gate: GateResult | None = None,
    baselines: Collection[str] = (),
    before: PairedLatency | None = None,
) -> Verdict:
    """Judge a cell.

    Args:
        cell: the cell.
        run: the run that it belongs to, which tells what is required.
        gate: what the comparison with its baseline found.
        baselines: names of all cells that have a baseline.
        before: the latency of the cell's baseline as it was accepted.

    """
    targets = _against_targets(cell, run, before)
    gate_status = _gate_status(cell, gate, baselines)
    alarms = _alarms(targets, gate_status, gate, run)
    checks = gate.checks if gate else ()
    warnings = (*_absent_members(cell), *portability_warnings(cell.final, cell.params)) if cell.final else ()
    told = targets.status, targets.checks, gate_status, checks, warnings
    if gate_status is None or not _decides(gate_status, targets.status, alarms):
        return Verdict(targets.status, targets.reason, targets.cause, alarms, *told)
    reason = "; ".join([*_gate_reasons(gate_status, checks), targets.reason])
    cause = _gate_cause(gate_status, checks) or (targets.cause if gate_status == "failed" else "")
    return Verdict(gate_status, reason, cause, alarms, *told)


def failed_report(verdict: Verdict | None, reason: str) -> Verdict:
    """Return the verdict on a cell whose report cannot be made; a regression that was found stays one."""
    found: tuple[Alarm, ...] = verdict.alarms if verdict else ()
    alarms: tuple[Alarm, ...] = tuple(dict.fromkeys((*found, "failure")))
    if verdict is None:
        return Verdict("failed", reason, "report", alarms, "failed")
    return Verdict("failed", reason, "report", alarms, "failed", verdict.targets, verdict.gate_status, verdict.checks)


def _decides(gate_status: GateStatus, status: TargetsStatus, alarms: tuple[Alarm, ...]) -> bool:
    """Tell whether a cell is in one word what it is against its baseline, and not against its targets."""
    if status in _UNFINISHED:
        return gate_status == "regressed"
    worse = gate_status in ("regressed", "failed", "interrupted")
    return gate_status != "new" and (worse or "missed target" not in alarms)


def _alarms(
    targets: _Against, gate_status: GateStatus | None, gate: GateResult | None, run: RunRecord
) -> tuple[Alarm, ...]:
    checks = {check.status for check in gate.checks if not check.waived} if gate else set()
    found: dict[Alarm, bool] = {
        "regression": gate_status == "regressed",
        "missed target": run.require_targets and any(check.status == "missed" for check in targets.checks),
        "failure": targets.status == "failed" or gate_status == "failed" or "failed" in checks,
    }
    return tuple(alarm for alarm, is_one in found.items() if is_one)


def _against_targets(cell: CellRecord, run: RunRecord, before: PairedLatency | None) -> _Against:
    """Judge the best trial's accuracy, and the latency that was measured again after the search."""
    if cell.status in ("unavailable", "failed"):
        what, where = (cell.error.what, cell.error.where) if cell.error else ("for an unknown reason", "")
        if cell.status == "failed" or run.on_missing_device == "fail":
            return _Against("failed", what, where or "cell")
        return _Against("unavailable", what)
    if cell.final is None and cell.status == "done":
        return _Against("failed", "no trial could be measured", "search")
    if cell.final is None:
        return _Against("interrupted", f"{len(cell.trials)} trials were finished and stored")
    best = cell.trials[cell.final.trial]
    if best.score is None:
        return _Against("failed", "no trial could be measured", "search")
    return _judge_best(cell, best.score, _without_noise(best.option, cell.final), before)


def _without_noise(option: ModelOption, final: Final) -> Final:
    """Return what is judged: a best that quantizes nothing is as fast as FP32, whatever measuring the two says."""
    if final.latency is None or not option.is_fp32:
        return final
    return replace(final, latency=replace(final.latency, ratio=_SAME), slower=())


def _judge_best(cell: CellRecord, score: Score, final: Final, before: PairedLatency | None) -> _Against:
    checks = (_accuracy(cell, score), _holdout(cell, final), _latency(cell, final, before), *_size(cell, score, final))
    missed = next((check for check in checks if check.status == "missed"), None)
    undecided = next((check for check in checks if check.status == "undecided"), None)
    worst = missed or undecided
    if worst is None:
        text = "accuracy and latency targets are met"
        if cell.params.size_reduce is not None:
            text = "accuracy, latency and size targets are met"
        if final.latency is None:
            text = "the accuracy target is met, scored on CPU; latency is not measured without the device"
        return _Against("met", text, "", checks)
    if worst.name == "latency" and not _pays(final) and not _says_nothing(worst, final):
        return _Against("keep-fp32", _keep_fp32(cell), worst.name, checks)
    return _Against("missed" if missed else "undecided", worst.text, worst.name, checks)


def _absent_members(cell: CellRecord) -> Iterator[str]:
    """Yield which members of a fleet know nothing of the best model, or nothing of its latency."""
    fleet = cell.reference.fleet if cell.reference else ()
    absent = [each.name for each in fleet if each.unavailable]
    if absent:
        here = len(fleet) - len(absent)
        yield f"tuned for {here} of {len(fleet)} members of the fleet; not here: {', '.join(absent)}"
    for scored_on in dict.fromkeys(each.scored_on for each in fleet if each.scored_on):
        names = ", ".join(each.name for each in fleet if each.scored_on == scored_on)
        yield f"members of the fleet that are not here were scored on {scored_on}, without latency: {names}"


def _keep_fp32(cell: CellRecord) -> str:
    """Tell that nothing pays, and of a fleet on which members what would have is slower."""
    faster = (each.score for each in cell.trials if each.score and (each.score.latency_ratio or 0) > 1)
    within = [score for score in faster if meets_accuracy(score.accuracy_loss, cell.params)]
    slower = dict.fromkeys(name for score in within for name in score.slower)
    unless = f" without being slower on members of the fleet: {', '.join(slower)}" if slower else ""
    return f"keep FP32: no INT8 model within the accuracy target is measurably faster{unless}"


def _accuracy(cell: CellRecord, score: Score) -> TargetCheck:
    allowed, lost = cell.params.accuracy_loss, _percent(score.accuracy_loss)
    on = " on the member of the fleet where it loses most" if cell.reference and cell.reference.fleet else ""
    if meets_accuracy(score.accuracy_loss, cell.params):
        return TargetCheck("accuracy", "met", f"the best loses {lost}{on}, {allowed:g} % of FP32 are allowed")
    return TargetCheck("accuracy", "missed", f"no trial is within {allowed:g} % of FP32; the best loses {lost}{on}")


def _holdout(cell: CellRecord, final: Final) -> TargetCheck:
    """Judge the samples that the search never saw: missed is what is surely missed, by the interval of the loss."""
    if final.holdout is None or final.holdout.accuracy_loss.low is None:
        return TargetCheck("holdout accuracy", "not measured", "there is no interval of the loss on a holdout")
    surely = final.holdout.accuracy_loss.low
    loss = final.holdout.accuracy_loss
    told = f"loses at least {_percent(surely)}"
    if surely <= 0:
        told = "need not lose anything"
    told += f": {_percent(loss.value)} [{100 * surely:.2f}, {100 * (math.nan if loss.high is None else loss.high):.2f}]"
    text = f"on samples that the search never saw the best {told}"
    # A loss that is no number has no surely.
    missed = not math.isnan(surely) and not meets_accuracy(surely, cell.params)
    return TargetCheck("holdout accuracy", "missed" if missed else "met", text)


def _latency(cell: CellRecord, final: Final, before: PairedLatency | None) -> TargetCheck:
    """Judge the whole interval of FP32 time / INT8 time: above the target, below it, or neither.

    A baseline that clearly met or missed the target keeps a night from saying otherwise that does not clearly differ
    from it: with a speed near the target unchanged nights would be now the one, now the other.
    """
    if final.latency is None:
        return TargetCheck("latency", "not measured", "not measured: the device is not here")
    if final.slower:
        slower = ", ".join(_slower(each) for each in final.members if each.environment in final.slower)
        return TargetCheck("latency", "missed", f"slower than FP32 on members of the fleet: {slower}")
    wanted, ratio = cell.params.latency_reduce, final.latency.ratio
    found = _by_interval(ratio, wanted)
    text = f"{_speed(ratio)} against a target of {wanted:g}x"
    accepted = _by_interval(before.ratio, wanted) if before else "undecided"
    if before and accepted not in ("undecided", found) and _overlap(ratio, before.ratio):
        return TargetCheck("latency", accepted, f"{text}: {accepted}, as the baseline's {_speed(before.ratio)}")
    if ratio == _SAME:
        told = f"the best quantizes nothing, so it is FP32; the latency target is {wanted:g}x"
        return TargetCheck("latency", found, told)
    if found == "undecided":
        return TargetCheck("latency", found, f"{text}: not decided")
    if found == "missed":
        slower = "not measurably faster than FP32; the latency target is"
        is_what = "below the latency target of" if _pays(final) else slower
        return TargetCheck("latency", found, f"{_speed(ratio)} is {is_what} {wanted:g}x")
    return TargetCheck("latency", found, text)


def _slower(member: Elsewhere) -> str:
    return member.environment if member.latency is None else f"{member.environment} {_speed(member.latency.ratio)}"


def _size(cell: CellRecord, score: Score, final: Final) -> tuple[TargetCheck, ...]:
    """Judge the bytes of the exported file's weights, which are exact; of the trial's where there are none."""
    if cell.params.size_reduce is None:
        return ()
    ratio = score.size_ratio
    if final.figures is not None and final.fp32_figures is not None:
        ratio = final.fp32_figures.size_bytes / final.figures.size_bytes
    if ratio is None:
        return (TargetCheck("size", "not measured", "the size of the weights is not known"),)
    text = f"weights are {ratio:.2f} times smaller than FP32's, {cell.params.size_reduce:g} times are wanted"
    return (TargetCheck("size", "met" if meets_size(ratio, cell.params) else "missed", text),)


def _by_interval(ratio: Estimate, wanted: float) -> Literal["met", "missed", "undecided"]:
    """Hold a ratio against the target; INT8 has to be faster than FP32, however low that is."""
    wanted = max(wanted, 1.0)
    low, high = ratio.low, ratio.high
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "undecided"
    if low >= wanted and low > 1:
        return "met"
    return "missed" if high < wanted else "undecided"


def _overlap(first: Estimate, second: Estimate) -> bool:
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return False
    return first.low <= second.high and second.low <= first.high


def _speed(ratio: Estimate) -> str:
    interval = "" if ratio.low is None or ratio.high is None else f" [{ratio.low:.2f}, {ratio.high:.2f}]"
    return f"{ratio.value:.2f}x{interval}"


def _says_nothing(check: TargetCheck, final: Final) -> bool:
    """Tell whether a latency is so uncertain that INT8 may be slower than FP32, meet the target, and be worth it."""
    high = final.latency.ratio.high if final.latency else None
    return check.status == "undecided" and high is not None and high > _WORTH


def _pays(final: Final) -> bool:
    """Tell whether INT8 is measurably faster than FP32: the whole interval of their ratio is above 1."""
    low = final.latency.ratio.low if final.latency else None
    return low is not None and low > 1


def _gate_status(cell: CellRecord, gate: GateResult | None, baselines: Collection[str]) -> GateStatus | None:
    if gate is not None:
        return gate.status
    if not baselines:
        return None
    if cell.status in ("unavailable", "failed"):
        return "unavailable" if cell.status == "unavailable" else "failed"
    if cell.status in ("interrupted", "running"):
        return "interrupted"
    return "new"


def _gate_reasons(status: GateStatus, checks: tuple[Check, ...]) -> list[str]:
    if status == "interrupted":
        return ["the comparison with the baseline was interrupted"]
    if status == "waived":
        return [
            f"{check.text} ({check.quantity}, {check.subject}); waived: {check.waived}" for check in _waived(checks)
        ]
    worst = [check for check in checks if check.status == status and not check.waived and status in _TOLD]
    return [_told(check) for check in worst]


def _told(check: Check) -> str:
    text = f"{check.text} ({check.quantity}, {check.subject})"
    return f"{text}; {check.why}" if check.why else text


def _waived(checks: tuple[Check, ...]) -> list[Check]:
    return [check for check in checks if check.waived]


def _gate_cause(status: GateStatus, checks: tuple[Check, ...]) -> str:
    if status == "failed":
        return "comparison with the baseline" if checks else ""
    if status == "data-changed":
        return "data"
    if status != "regressed":
        return ""
    return next((check.cause for check in checks if check.status == "regressed" and not check.waived), "")


def _percent(share: float) -> str:
    return "not a number" if math.isnan(share) else f"{100 * share:.2f} %"
