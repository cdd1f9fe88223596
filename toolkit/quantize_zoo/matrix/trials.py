"""The trials of a cell's search: stage after stage, each around the best so far, with what is known before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from quantize_zoo.config import CompressionParams, Stage, search_stages
from quantize_zoo.matrix.desk import Desk
from quantize_zoo.matrix.paying import Paying, what_pays, what_runs
from quantize_zoo.matrix.start import Start
from quantize_zoo.quantization import ModelOption, derive_space, option_hash
from quantize_zoo.scoring import Executed
from quantize_zoo.search import (
    StagePlan,
    Survey,
    Trial,
    TrialRecorder,
    change_whole_model,
    is_met,
    run_alone,
    run_stage,
    unreachable_size,
)
from quantize_zoo.search.give_back import give_back
from quantize_zoo.store import Reference


@dataclass(frozen=True)
class _Known:
    """What stages find out and those after them go on with; ``seconds`` are those of calibrating."""

    reference: Reference
    executed: Executed | None = None
    seconds: float = 0.0


def make_trials(found: Start, recorder: TrialRecorder, desk: Desk) -> Iterator[Trial]:
    """Yield the trials of all stages; each stage starts around the best so far.

    The baseline's configuration is among them, after the first base.
    """
    if found.rebuild:
        yield from _rebuilt(found, recorder, desk)
        return
    pool, terms, seed = desk.work.pool, desk.cell.model.give_back, desk.night.seed
    known, ended = _Known(found.reference), ""
    stages = search_stages(desk.cell.model)
    for number, stage in enumerate(stages):
        if recorder.trials and recorder.is_finished(stage.until):  # however short the time is, there is one trial
            continue
        plan, known = _planned(number, stage, known, found, recorder, desk)
        if terms is None:
            ended = yield from run_stage(plan, recorder, seed, pool)
            known = _ended(ended, plan, known, recorder, desk)
            continue
        by_rank = number == len(stages) - 1
        yield from (give_back if by_rank else change_whole_model)(plan, terms, recorder, pool)
        if is_met(recorder.trials, recorder):
            break
    made, most = len(recorder.trials), stages[-1].until
    if made < most and not ended and (over := recorder.why_over()):
        _noticed(known.reference, [f"the search: after {made} of at most {most} trials {over}"], desk)
    if (missing := _incumbent(0, None, found, recorder)) is not None:  # a search that goes on had trials enough
        desk.work.calibrate(found.base)
        yield from run_alone(None, recorder, pool, missing)


def _incumbent(stage: int, base: ModelOption | None, found: Start, recorder: TrialRecorder) -> Trial | None:
    """Return the trial of the baseline's configuration, if there is one and it was not made."""
    known = {trial.option_hash for trial in recorder.trials} | ({option_hash(base)} if base else set())
    option = found.incumbent
    return None if option is None or option_hash(option) in known else recorder.draft("baseline", stage, option)


def _rebuilt(found: Start, recorder: TrialRecorder, desk: Desk) -> Iterator[Trial]:
    """Yield the trial that is made again, and the baseline's."""
    calibration = desk.work.calibrate(found.base)
    desk.night.store.set_calibration(desk.cell_id, calibration.seconds, calibration.errors)
    if calibration.executed is not None:
        _noticed(replace(found.reference, executed=calibration.executed), calibration.notes, desk)
    beside = _incumbent(0, found.base, found, recorder)
    yield from run_alone(recorder.draft("eval", 0, found.base), recorder, desk.work.pool, beside)


def _planned(
    number: int, stage: Stage, known: _Known, found: Start, recorder: TrialRecorder, desk: Desk
) -> tuple[StagePlan, _Known]:
    """Return the plan of a stage, after its base was calibrated and surveyed, and what is known then."""
    done = [trial for trial in recorder.trials if trial.stage == number]
    best = recorder.best
    base = done[0].option if done else best.option if best else found.base
    calibration = desk.work.calibrate(base)
    seconds = known.seconds + calibration.seconds
    desk.night.store.set_calibration(desk.cell_id, seconds, calibration.errors)
    reference, executed = known.reference, known.executed or calibration.executed
    paying = _paying(found, base, stage.compression, executed, desk)
    if known.executed is None and executed is not None:
        reference = _noticed(replace(reference, executed=executed), (*calibration.notes, *paying.notes), desk)
    space = derive_space(paying.placement, paying.base, stage.compression, paying.idle)
    types = {operation.name: operation.type for operation in found.placement.operations}
    beside = _incumbent(number, paying.base, found, recorder)
    survey = _surveyed(found, paying.base, stage, desk)
    if survey is not None:
        too_large = "" if space.offers_compressed_weights else unreachable_size(survey, desk.params)
        reference = _noticed(replace(reference, survey=survey), [too_large] if too_large else [], desk)
    plan = StagePlan(number, paying.base, space, stage.until, types, calibration.errors, beside, survey)
    return plan, _Known(reference, executed, seconds)


def _ended(why: str, plan: StagePlan, known: _Known, recorder: TrialRecorder, desk: Desk) -> _Known:
    """Tell why a stage ended before it had its trials, if it did."""
    if not why:
        return known
    desk.night.store.set_search_ended(desk.cell_id, why)
    told = f"stage {plan.number + 1} of the search: after {len(recorder.trials)} of at most {plan.until} trials {why}"
    return replace(known, reference=_noticed(known.reference, [told], desk))


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
