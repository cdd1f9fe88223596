"""The steps of a cell. Each knows what it is fed and what it gives, and stores what it found before it returns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from pydantic import TypeAdapter

from quantize_zoo import errors
from quantize_zoo.cell import Cell, Prepared
from quantize_zoo.config import CompressionParams, OptimizerParams, Stage, devices_of, search_stages
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
from quantize_zoo.matrix.paying import Paying, what_pays, what_runs
from quantize_zoo.matrix.start import Start, find_start, stored_searches
from quantize_zoo.quantization import ModelOption, derive_space, option_hash
from quantize_zoo.scoring import Executed, inverse
from quantize_zoo.scoring.latency import TARGET_HALF_WIDTH
from quantize_zoo.search import (
    StagePlan,
    Survey,
    Trial,
    TrialRecorder,
    change_whole_model,
    is_allowed,
    is_met,
    ranked,
    run_alone,
    run_stage,
    unreachable_size,
)
from quantize_zoo.search.give_back import give_back
from quantize_zoo.store import Elsewhere, Final, Reference, RunnerUp, StoredBaseline

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
    for trial in _trials(found, recorder, desk):
        desk.night.store.add_trial(desk.cell_id, trial)
        desk.night.observer.trial_finished(desk.cell, trial, recorder.best)
        desk.stop_if_asked()
    desk.night.store.set_search(desk.cell_id, time.monotonic() - started, len(recorder.trials) - known)
    return ranked(recorder.trials, params)


def _trials(found: Start, recorder: TrialRecorder, desk: Desk) -> Iterator[Trial]:
    """Yield the trials of all stages; each stage starts around the best so far.

    The baseline's configuration is among them, after the first base.
    """
    store, pool, terms = desk.night.store, desk.work.pool, desk.cell.model.give_back

    def incumbent(stage: int, base: ModelOption | None) -> Trial | None:
        known = {trial.option_hash for trial in recorder.trials} | ({option_hash(base)} if base else set())
        option = found.incumbent
        return None if option is None or option_hash(option) in known else recorder.draft("baseline", stage, option)

    if found.rebuild:
        calibration = desk.work.calibrate(found.base)
        store.set_calibration(desk.cell_id, calibration.seconds, calibration.errors)
        if calibration.executed is not None:
            _noticed(replace(found.reference, executed=calibration.executed), calibration.notes, desk)
        yield from run_alone(recorder.draft("eval", 0, found.base), recorder, pool, incumbent(0, found.base))
        return
    seconds = 0.0
    executed: Executed | None = None
    ended = ""
    reference = found.reference
    stages = search_stages(desk.cell.model)
    for number, stage in enumerate(stages):
        if recorder.trials and recorder.is_finished(stage.until):  # however short the time is, there is one trial
            continue
        done = [trial for trial in recorder.trials if trial.stage == number]
        best = recorder.best
        base = done[0].option if done else best.option if best else found.base
        calibration = desk.work.calibrate(base)
        seconds += calibration.seconds
        store.set_calibration(desk.cell_id, seconds, calibration.errors)
        first = executed is None
        executed = executed or calibration.executed
        paying = _paying(found, base, stage.compression, executed, desk)
        if first and executed is not None:
            notes = (*calibration.notes, *paying.notes)
            reference = _noticed(replace(reference, executed=executed), notes, desk)
        space = derive_space(paying.placement, paying.base, stage.compression, paying.idle)
        types = {operation.name: operation.type for operation in found.placement.operations}
        beside = incumbent(number, paying.base)
        survey = _surveyed(found, paying.base, stage, desk)
        if survey is not None:
            too_large = "" if space.offers_compressed_weights else unreachable_size(survey, desk.params)
            reference = _noticed(replace(reference, survey=survey), [too_large] if too_large else [], desk)
        plan = StagePlan(number, paying.base, space, stage.until, types, calibration.errors, beside, survey)
        if terms is None:
            ended = yield from run_stage(plan, recorder, desk.night.seed, pool)
            if ended:
                store.set_search_ended(desk.cell_id, ended)
                told = f"after {len(recorder.trials)} of at most {stage.until} trials {ended}"
                reference = _noticed(reference, [f"stage {number + 1} of the search: {told}"], desk)
            continue
        by_rank = number == len(stages) - 1
        yield from (give_back if by_rank else change_whole_model)(plan, terms, recorder, pool)
        if is_met(recorder.trials, recorder):
            break
    made, most = len(recorder.trials), stages[-1].until
    if made < most and not ended and (over := recorder.why_over()):
        _noticed(reference, [f"the search: after {made} of at most {most} trials {over}"], desk)
    if (missing := incumbent(0, None)) is not None:  # a search that goes on had trials enough
        desk.work.calibrate(found.base)
        yield from run_alone(None, recorder, pool, missing)


def _paying(
    found: Start, base: ModelOption, compression: CompressionParams, executed: Executed | None, desk: Desk
) -> Paying:
    """Return what a stage is offered: what pays.

    It is all that runs where that is asked for, is POT's way, or cannot be told from the device: of a fleet it is known
    what its leading member executes, and that is not what the others do.
    """
    params = desk.params
    if executed is None:
        return Paying(found.placement, base, frozenset(), ())
    as_pot = params.compatibility is not None or desk.cell.model.give_back is not None
    if as_pot or compression.tunable.search_unexecuted or found.reference.fleet:
        return what_runs(found.placement, base, executed)
    for_size = params.size_reduce is not None
    return what_pays(found.placement, base, found.preset, compression, executed, for_size=for_size)


def _surveyed(found: Start, base: ModelOption, stage: Stage, desk: Desk) -> Survey | None:
    """Find out what is worth quantizing, where a stage chooses that; a search that goes on knows it already.

    POT's searches did without. So do those around compressed weights, of which it is not known what they save and
    change, and around FP32, which has nothing to choose from: what the base leaves unquantized stays so.
    """
    chooses = "layer" in stage.compression.tunable.tuning_scope and not base.is_fp32
    as_pot = desk.params.compatibility == "pot" or desk.cell.model.give_back is not None
    if not chooses or as_pot or base.has_compressed_weights:
        return None
    stored = None if found.continues is None else desk.night.store.survey(found.continues)
    return stored if stored is not None and stored.base == option_hash(base) else desk.work.survey(base)


def _noticed(reference: Reference, notes: Sequence[str], desk: Desk) -> Reference:
    """Store and tell what a user should know of the cell; return the reference with it."""
    noted = replace(reference, notes=(*reference.notes, *notes))
    desk.night.store.set_reference(desk.cell_id, noted)
    desk.night.observer.noticed(desk.cell, notes)
    return noted


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
    night.observer.gate_started(cell)
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
