"""The steps of a cell. Each knows what it is fed and what it gives, and stores what it found before it returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from pydantic import TypeAdapter

from quantize_zoo.cell import Calibration, Cell, Prepared
from quantize_zoo.config import OptimizerParams, Stage, search_stages
from quantize_zoo.errors import QuantizeZooError
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
from quantize_zoo.quantization import ModelOption, derive_space, option_hash
from quantize_zoo.scoring import inverse
from quantize_zoo.search import (
    StagePlan,
    Survey,
    Trial,
    TrialRecorder,
    change_whole_model,
    give_back,
    is_met,
    meets_accuracy,
    ranked,
    run_alone,
    run_stage,
)
from quantize_zoo.store import Final, Reference, RunnerUp, StoredBaseline

_GATE = TypeAdapter(GateResult)


@dataclass(frozen=True)
class Choice:
    """The trial that is called best, what it was measured against, and why it is not the baseline's configuration."""

    best: Trial
    runner_up: RunnerUp | None
    why: str = ""


def prepare(cell: Cell, desk: Desk) -> Prepared:
    """Read model and data, score the FP32 model."""
    prepared = desk.work.prepare()
    # Wherever it was read, the file is that of this machine.
    reference = replace(prepared.reference, model_path=str(cell.model.model))
    desk.night.store.set_reference(desk.cell_id, reference)
    return replace(prepared, reference=reference)


def start(prepared: Prepared, desk: Desk) -> Start:
    """Find where the search starts, by the load method and what is stored."""
    store = desk.night.store
    found = find_start(desk.params, prepared, stored_searches(desk.params, prepared, store, desk.cell))
    if found.continues is not None:
        store.set_continues(desk.cell_id, found.continues)
    if found.reference != prepared.reference:
        store.set_reference(desk.cell_id, found.reference)
    desk.night.observer.reference_scored(desk.cell, found.reference)
    return replace(found, incumbent=usable(desk.baseline, found.placement))


def references(found: Start, desk: Desk) -> Start:
    """Score the models of other tools that the matrix names."""
    if desk.cell.references:
        desk.night.store.set_references(desk.cell_id, desk.work.references())
    return found


def search(found: Start, desk: Desk) -> list[Trial]:
    """Make the trials; return all of the search, also those that it went on from, the best one first."""
    reference, params = found.reference, desk.params
    recorder = TrialRecorder(
        params,
        reference.accuracy.value,
        found.trials,
        higher_is_better=reference.higher_is_better,
        prunes=desk.cell.model.give_back is None,  # what misses the target as well is the better the less it loses
    )
    for trial in _trials(found, recorder, desk):
        desk.night.store.add_trial(desk.cell_id, trial)
        desk.night.observer.trial_finished(desk.cell, trial, recorder.best)
        desk.stop_if_asked()
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
        _keep_executed(found.reference, calibration, desk)
        yield from run_alone(recorder.draft("eval", 0, found.base), recorder, pool, incumbent(0, found.base))
        return
    seconds = 0.0
    reference = found.reference
    stages = search_stages(desk.cell.model)
    for number, stage in enumerate(stages):
        if recorder.is_finished(stage.until):
            continue
        done = [trial for trial in recorder.trials if trial.stage == number]
        best = recorder.best
        base = done[0].option if done else best.option if best else found.base
        calibration = desk.work.calibrate(base)
        seconds += calibration.seconds
        store.set_calibration(desk.cell_id, seconds, calibration.errors)
        reference = _keep_executed(reference, calibration, desk)
        space = derive_space(found.placement, base, stage.compression)
        types = {operation.name: operation.type for operation in found.placement.operations}
        beside = incumbent(number, base)
        survey = _surveyed(base, stage, desk)
        if survey is not None:
            reference = _noticed(replace(reference, survey=survey), [], desk)
        plan = StagePlan(number, base, space, stage.until, types, calibration.errors, beside, survey)
        if terms is None:
            why = yield from run_stage(plan, recorder, desk.night.seed, pool)
            if why:
                told = f"after {len(recorder.trials)} of at most {stage.until} trials {why}"
                reference = _noticed(reference, [f"stage {number + 1} of the search: {told}"], desk)
            continue
        by_rank = number == len(stages) - 1
        yield from (give_back if by_rank else change_whole_model)(plan, terms, recorder, pool)
        if is_met(recorder.trials, recorder):
            break
    if (missing := incumbent(0, None)) is not None:  # a search that goes on had trials enough
        desk.work.calibrate(found.base)
        yield from run_alone(None, recorder, pool, missing)


def _surveyed(base: ModelOption, stage: Stage, desk: Desk) -> Survey | None:
    """Find out what is worth quantizing, where a stage chooses that; POT's searches did without."""
    chooses = "layer" in stage.compression.tunable.tuning_scope
    if not chooses or desk.cell.model.give_back is not None or desk.params.compatibility == "pot":
        return None
    return desk.work.survey(base)


def _keep_executed(reference: Reference, calibration: Calibration, desk: Desk) -> Reference:
    """Store and tell what the device executes of the base, where it was found out; return the reference with it."""
    if calibration.executed is None or reference.executed is not None:
        return reference
    return _noticed(replace(reference, executed=calibration.executed), calibration.notes, desk)


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
    if desk.baseline is None:
        return _confirm_first(ranking, desk)
    incumbent = find_incumbent(ranking, desk.baseline)
    why = why_given_up(incumbent, desk.params)
    if incumbent is None or why:
        chosen = _confirm_first(ranking, desk)
        return replace(chosen, why="" if chosen.best is incumbent else why)
    return _challenge(incumbent, ranking, desk)


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
    undecided = not slower and ratio.low is not None and ratio.low <= 1
    if slower or (undecided and _accuracy_loss(second) < _accuracy_loss(best)):
        best, second = second, best
        ratio = inverse(ratio)
    return Choice(best, RunnerUp(second.number, ratio))


def finish(choice: Choice | None, desk: Desk) -> Choice | None:
    """Export the best model, and find out what is told of it; from here on the cell is done, whatever follows."""
    final = None if choice is None else _final(choice, desk)
    desk.night.store.set_final(desk.cell_id, final)
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
    )


def hold(choice: Choice | None, desk: Desk) -> GateResult | None:
    """Compare with the accepted baseline, if there is one; its failure takes nothing of the cell away."""
    night, cell, baseline = desk.night, desk.cell, desk.baseline
    if baseline is None:
        return None
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
    return result


def _result(baseline: StoredBaseline, *checks: Check) -> GateResult:
    return GateResult(baseline.id, baseline.accepted_at.isoformat(), checks)


def _keep(result: GateResult, desk: Desk) -> None:
    desk.night.store.set_gate(desk.cell_id, _GATE.dump_python(result, mode="json"))


def _best_model(cell: Cell) -> Path:
    """Return where a cell's best model is in the folder of its run."""
    return Path("models") / f"{cell.key.slug}.xml"


def _accuracy_loss(trial: Trial) -> float:
    assert trial.score is not None, "ranked trials have a score"
    return trial.score.accuracy_loss


def _within(trial: Trial, params: OptimizerParams) -> bool:
    return meets_accuracy(_accuracy_loss(trial), params)
