"""The steps of a cell. Each knows what it is fed and what it gives, and stores what it found before it returns."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from pydantic import TypeAdapter

from quantize_zoo import errors
from quantize_zoo.cell import Cell, Prepared
from quantize_zoo.config import OptimizerParams, devices_of, search_stages
from quantize_zoo.errors import CellError, QuantizeZooError
from quantize_zoo.gate import Check, GateResult, apply_waivers, check_level, checks_a_cell
from quantize_zoo.gate.comparison import Terms
from quantize_zoo.gate.holding import GateRequest
from quantize_zoo.matrix.desk import Desk
from quantize_zoo.matrix.export import write_configuration
from quantize_zoo.matrix.incumbent import (
    challenger_wins,
    find_challenger,
    find_incumbent,
    usable,
    why_given_up,
)
from quantize_zoo.matrix.start import Start, find_start, stored_searches
from quantize_zoo.matrix.trials import make_trials
from quantize_zoo.scoring import inverse
from quantize_zoo.scoring.latency import TARGET_HALF_WIDTH
from quantize_zoo.search import (
    Trial,
    TrialRecorder,
    is_allowed,
    ranked,
)
from quantize_zoo.store import Elsewhere, Final, RunnerUp, StoredBaseline

_GATE = TypeAdapter(GateResult)
_TRIALS_WORTH = 10  # what other environments may cost, in trials


@dataclass(frozen=True)
class Choice:
    """The trial that is called best, what it was measured against, and why it is not the baseline's configuration."""

    best: Trial
    runner_up: RunnerUp | None
    why: str = ""
    seconds: float = 0.0  # of a trial, in the middle of those that were evaluated


def prepare(cell: Cell, desk: Desk) -> Prepared:
    """Read model and data, score the FP32 model."""
    prepared = desk.work.prepare()
    absent = [each for each in prepared.reference.fleet if each.unavailable]
    if absent and desk.night.matrix.on_missing_device == "fail":
        raise errors.fleet_incomplete({each.name: each.unavailable for each in absent})
    # Wherever it was read, the file is that of this machine.
    reference = replace(prepared.reference, model_path=str(cell.model.model))
    desk.night.store.set_reference(desk.cell_id, reference)
    return replace(prepared, reference=reference)


def start(prepared: Prepared, desk: Desk) -> Start:
    """Find where the search starts, by the load method and what is stored."""
    store = desk.night.store
    found = _found_start(prepared, desk)
    if found.continues is not None:
        store.set_continues(desk.cell_id, found.continues)
    if found.reference != prepared.reference:
        store.set_reference(desk.cell_id, found.reference)
    desk.night.observer.reference_scored(desk.cell, found.reference)
    return replace(found, incumbent=usable(desk.baseline, found.preset))


def _found_start(prepared: Prepared, desk: Desk) -> Start:
    def by(params: OptimizerParams) -> Start:
        store = desk.night.store
        return find_start(params, prepared, stored_searches(params, prepared, store, desk.cell), store)

    otherwise = desk.cell.otherwise
    try:
        return by(desk.params)
    except CellError:
        if otherwise is None:
            raise
    desk.night.store.set_method(desk.cell_id, otherwise)
    return by(desk.params.model_copy(update={"trials_load_method": otherwise}))


def references(found: Start, desk: Desk) -> Start:
    """Score the models of other tools that the matrix names."""
    if desk.cell.references:
        desk.night.store.set_references(desk.cell_id, desk.work.references())
    return found


def search(found: Start, desk: Desk) -> list[Trial]:
    """Make the trials; return all of the search, also those that it went on from, the best one first."""
    reference, params = found.reference, desk.params
    last = len(search_stages(desk.cell.model)) - 1
    recorder = TrialRecorder(
        params,
        reference.accuracy.value,
        # Of releases up to 0.1.0 a search had stages that it has no more: what they chose, the last one chooses.
        [replace(trial, stage=min(trial.stage, last)) for trial in found.trials],
        higher_is_better=reference.higher_is_better,
        prunes=desk.cell.model.give_back is None,  # what misses the target as well is the better the less it loses
        members=[each.name for each in reference.fleet if not each.unavailable],
    )
    started, known = time.monotonic(), len(recorder.trials)
    for trial in make_trials(found, recorder, desk):
        desk.night.store.add_trial(desk.cell_id, trial)
        desk.night.observer.trial_finished(desk.cell, trial, recorder.best)
        desk.stop_if_asked()
    desk.night.store.set_search(desk.cell_id, time.monotonic() - started, len(recorder.trials) - known)
    return ranked(recorder.trials, params)


def confirm(ranking: list[Trial], desk: Desk) -> Choice | None:
    """Measure the best against the one that came second, before it is called best; noise may have put it first.

    Where there is a baseline, its configuration comes second, and stays the best unless another one is better or it
    misses its targets. None if no trial could be measured.
    """
    if not ranking:
        return None
    return replace(_confirmed(ranking, desk), seconds=_seconds_a_trial(ranking))


def _confirmed(ranking: list[Trial], desk: Desk) -> Choice:
    if desk.baseline is None:
        return _confirm_first(ranking, desk)
    incumbent = find_incumbent(ranking, desk.baseline)
    why = why_given_up(incumbent, desk.params)
    if incumbent is None or why:
        chosen = _confirm_first(ranking, desk)
        return replace(chosen, why="" if chosen.best is incumbent else why)
    return _challenge(incumbent, ranking, desk)


def _seconds_a_trial(trials: list[Trial]) -> float:
    return statistics.median(trial.seconds.total for trial in trials if trial.reused_from is None)


def _challenge(incumbent: Trial, ranking: list[Trial], desk: Desk) -> Choice:
    """Measure the best of the others against the baseline's configuration."""
    gate = desk.night.matrix.gate
    challenger = find_challenger(ranking, incumbent, desk.params, gate)
    if challenger is None:
        return Choice(incumbent, None)
    ratio = None
    if challenger.structure != incumbent.structure and challenger.measurement and challenger.measurement.latency:
        ratio = desk.work.compare(challenger.option, incumbent.option)
    best, second = challenger, incumbent
    if not challenger_wins(ratio, challenger, incumbent, gate):
        best, second = incumbent, challenger
        ratio = None if ratio is None else inverse(ratio)
    return Choice(best, None if ratio is None else RunnerUp(second.number, ratio))


def _confirm_first(ranking: list[Trial], desk: Desk) -> Choice:
    best = ranking[0]
    rivals = (
        trial
        for trial in ranking[1:]
        if trial.structure != best.structure and _within(trial, desk.params) and _within(best, desk.params)
    )
    second = next(rivals, None)
    if second is None or best.measurement is None or best.measurement.latency is None:
        return Choice(best, None)
    ratio = desk.work.compare(best.option, second.option)
    slower = ratio.high is not None and ratio.high < 1
    # However wide the interval is, what seems slower by more than measuring resolves is not taken for as fast.
    undecided = not slower and ratio.low is not None and ratio.low <= 1 and ratio.value <= 1 + TARGET_HALF_WIDTH
    if slower or (undecided and _accuracy_loss(second) < _accuracy_loss(best)):
        best, second = second, best
        ratio = inverse(ratio)
    return Choice(best, RunnerUp(second.number, ratio))


def finish(choice: Choice | None, desk: Desk) -> Choice | None:
    """Export the best model, and find out what is told of it; from here on the cell is done, whatever follows."""
    final = None if choice is None else _final(choice, desk)
    desk.night.store.set_final(desk.cell_id, final, None if choice is None else choice.best.option_hash)
    return choice


def _final(choice: Choice, desk: Desk) -> Final:
    best = choice.best
    model = _best_model(desk.cell)
    desk.night.observer.step_started(desk.cell, _told_of(choice))
    assert best.measurement is not None, "ranked trials have one"
    finished = desk.work.finish(best.option, best.measurement.accuracy.value, desk.night.folder / model)
    write_configuration(desk.night.folder / model, desk.cell, best)
    return Final(
        best.number,
        finished.latency,
        model.as_posix(),
        finished.holdout,
        choice.runner_up,
        finished.others,
        model.with_suffix(".npz").as_posix(),
        finished.figures,
        finished.layers,
        finished.proof,
        finished.fp32_figures,
        finished.loss,
        finished.model_hash,
        finished.answers_hash,
        members=finished.members,
        slower=finished.slower,
    )


def _told_of(choice: Choice) -> str:
    """Say which trial is exported, and by what it is the best where that was found out after the trials."""
    second = choice.runner_up
    beside = "" if second is None else f", in turns {second.ratio.value:.2f}x as fast as trial {second.trial}"
    return f"measuring and exporting the best, trial {choice.best.number}{beside}"


def hold(choice: Choice | None, desk: Desk) -> Choice | None:
    """Compare with the accepted baseline, if there is one; its failure takes nothing of the cell away."""
    night, cell, baseline = desk.night, desk.cell, desk.baseline
    if baseline is None:
        return choice
    gate = night.matrix.gate
    held = {each.name for each in night.store.baselines()}
    checks = checks_a_cell(gate, runtimes=bool(night.matrix.runtimes))
    level = check_level(gate, night.cells_with(held), checks)
    request = GateRequest(
        baseline=baseline,
        folder=night.baselines,
        best=choice.best.option if choice else None,
        model=night.folder / _best_model(cell),
        terms=Terms(gate, level, night.folder),
        runtimes=night.matrix.runtimes,
        why=choice.why if choice else "",
    )
    night.observer.step_started(cell, "comparing with the baseline")
    try:
        result = desk.work.hold(request)
    except QuantizeZooError as error:
        desk.stop_if_asked()
        check = Check("runtime", "accuracy", "the baseline", "failed", f"{error.what} ({error.where}); {error.remedy}")
        result = _result(baseline, check)
    except KeyboardInterrupt:
        _keep(replace(_result(baseline), interrupted=True), desk)
        raise
    result = apply_waivers(result, cell.key.label, night.matrix.waivers, datetime.now(timezone.utc).date())
    _keep(result, desk)
    night.observer.gate_finished(cell, result)
    return choice


def elsewhere(choice: Choice | None, desk: Desk) -> None:
    """Score the best model in other environments, for as long as ten trials took; its failure takes nothing away."""
    night = desk.night
    of_a_cpu = any(each.device == "CPU" for each in devices_of(desk.cell.target))
    if choice is None or not night.matrix.portability or not of_a_cpu:
        return
    night.observer.step_started(desk.cell, "scoring it in other environments")
    try:
        found = desk.work.elsewhere(night.folder / _best_model(desk.cell), _TRIALS_WORTH * choice.seconds)
    except QuantizeZooError as error:
        desk.stop_if_asked()
        found = (Elsewhere("other environments", skipped=f"{error.what} ({error.where})"),)
    night.store.set_portability(desk.cell_id, found)


def _result(baseline: StoredBaseline, *checks: Check) -> GateResult:
    return GateResult(baseline.id, baseline.accepted_at.isoformat(), checks)


def _keep(result: GateResult, desk: Desk) -> None:
    desk.night.store.set_gate(desk.cell_id, _GATE.dump_python(result, mode="json"), result.status)


def _best_model(cell: Cell) -> Path:
    """Return where a cell's best model is in the folder of its run."""
    return Path("models") / f"{cell.key.slug}.xml"


def _accuracy_loss(trial: Trial) -> float:
    assert trial.score is not None, "ranked trials have a score"
    return trial.score.accuracy_loss


def _within(trial: Trial, params: OptimizerParams) -> bool:
    return trial.score is not None and is_allowed(trial.score, params)
