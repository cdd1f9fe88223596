"""Where a search starts: each load method, with nothing, the same and something else stored."""

from dataclasses import replace

import pytest

from builders import Scorer, option, pipeline, reference, trial
from quantize_zoo.cell import Cell, Prepared
from quantize_zoo.cell.identity import former_identity
from quantize_zoo.config import (
    DeviceSpec,
    OptimizerParams,
    former_stages,
    load_model_config,
    search_stages,
    stages_note,
)
from quantize_zoo.errors import CellError
from quantize_zoo.matrix.start import find_start
from quantize_zoo.store import StoredSearch
from zoo import residual_model

IDENTITY = {"model content": "abc", "search space": "layer", "environment": "this CPU"}
METHODS = ["cold_start", "warm_start", "fine_tune", "eval"]
PRESET = option(0, 1, 2, 3)


@pytest.fixture(scope="module")
def placement():
    return pipeline(residual_model(), []).placement


def start(placement, method, *searches, identity=IDENTITY, former=None):
    params = OptimizerParams(trials_load_method=method, accuracy_loss=1.0)
    prepared = Prepared(reference(identity=identity), placement, PRESET, former or {})
    return find_start(params, prepared, [each for each, _ in searches], Trials(searches))


class Trials:
    """Implements ``StoredTrials``."""

    def __init__(self, searches):
        self._found = {each.cell_id: trials for each, trials in searches}

    def trials(self, cell_id):
        return self._found[cell_id]

    def trial(self, cell_id, number):
        return self._found[cell_id][number]


def search(*trials, method="cold_start", cell_id=7, best=None, **changed):
    return StoredSearch(cell_id, method, {**IDENTITY, **changed}, best), trials


STORED = (trial(0, 0.05, 2.0, option(0, 1, 2, 3)), trial(1, 0.0, 1.5, option(0, 2)), trial(2, 0.0, 1.2, option(1)))


@pytest.mark.parametrize("method", ["cold_start", "warm_start", "fine_tune"])
def test_with_nothing_stored_a_search_starts_from_the_preset(placement, method):
    found = start(placement, method)
    assert (found.base, found.trials, found.continues, found.rebuild) == (PRESET, (), None, False)


def test_eval_with_nothing_stored_is_an_error(placement):
    with pytest.raises(CellError, match=r"eval needs a stored search .*\n.*run with cold_start first"):
        start(placement, "eval")


def test_cold_start_forgets_what_is_stored(placement):
    assert start(placement, "cold_start", search(*STORED)).base == PRESET


def test_warm_start_goes_on_with_the_stored_trials_from_their_base(placement):
    found = start(placement, "warm_start", search(*STORED))
    assert found.trials == STORED
    assert found.continues == 7
    assert found.base == STORED[0].option


@pytest.mark.parametrize("part", list(IDENTITY))
def test_warm_start_onto_something_else_is_refused_with_what_differs(placement, part):
    with pytest.raises(CellError, match=rf"differs in: {part} \(stored: other; now: {IDENTITY[part]}\)\n"):
        start(placement, "warm_start", search(*STORED, **{part: "other"}))


@pytest.mark.parametrize("part", ["search space", "environment"])
def test_fine_tune_starts_from_the_best_with_any_scope_and_on_any_machine(placement, part):
    found = start(placement, "fine_tune", search(*STORED, **{part: "other"}))
    assert found.base == STORED[1].option
    assert (found.trials, found.continues, found.reference.notes) == ((), None, ())


def test_fine_tune_takes_the_best_since_the_last_cold_start(placement):
    better = replace(trial(0, 0.0, 1.9, option(3)), stage=0)
    found = start(placement, "fine_tune", search(*STORED, method="fine_tune"), search(better))
    assert found.base == better.option


def test_fine_tune_after_the_model_changed_starts_over_and_says_so(placement):
    found = start(placement, "fine_tune", search(*STORED, **{"model content": "other"}))
    assert found.base == PRESET
    assert "fine_tune starts over: the stored search differs in model content" in found.reference.notes[0]


@pytest.mark.parametrize("method", ["warm_start", "fine_tune", "eval"])
def test_a_night_on_other_data_is_passed_over_by_the_next(placement, method):
    """Also a cold start: what is gone on with is the newest search that fits, and it says so."""
    mistake = search(trial(0, 0.0, 1.9, option(3)), cell_id=9, dataset="80 samples")
    identity = {**IDENTITY, "dataset": "100 samples"}
    before = search(*STORED, dataset="100 samples")
    found = start(placement, method, mistake, before, identity=identity)
    assert found.base == (STORED[0] if method == "warm_start" else STORED[1]).option
    assert found.continues == (7 if method == "warm_start" else None)
    (note,) = found.reference.notes
    assert note.startswith(f"{method} passes over the newest stored search, which differs in dataset")


@pytest.mark.parametrize("method", ["fine_tune", "eval"])
def test_after_the_data_changed_the_best_is_evaluated_on_the_new_ones(placement, method):
    found = start(placement, method, search(*STORED, dataset="80 samples"), identity={**IDENTITY, "dataset": "100"})
    assert found.base == STORED[1].option
    assert (
        "takes the best of a search that differs in dataset (stored: 80 samples; now: 100)" in found.reference.notes[0]
    )


@pytest.mark.parametrize("method", ["warm_start", "fine_tune", "eval"])
def test_a_search_of_an_older_release_knows_the_data_by_another_name(placement, method):
    stored = search(*STORED, dataset="100 samples, old")
    identity = {**IDENTITY, "dataset": "100 samples, new"}
    found = start(placement, method, stored, identity=identity, former={"dataset": "100 samples, old"})
    assert found.reference.notes == ()
    assert found.base == (STORED[0] if method == "warm_start" else STORED[1]).option


def test_a_warm_start_goes_on_with_the_two_stages_of_an_older_release(placement):
    """They chose among what one stage chooses today; another scope is another search, as ever."""
    stored = search(*STORED, **{"search space": "two stages"})
    found = start(placement, "warm_start", stored, former={"search space": "two stages"})
    assert (found.trials, found.continues) == (STORED, 7)
    with pytest.raises(CellError, match="differs in: search space"):
        start(placement, "warm_start", search(*STORED, **{"search space": "x"}), former={"search space": "two stages"})


def test_former_stages_are_those_of_older_releases(mobilenet):
    default, scoped = (with_tunable(mobilenet, each) for each in ({}, {"tuning_scope": ["layer"]}))
    assert [each.until for each in former_stages(default)] == [24, 60]
    assert [each.compression.tunable.tuning_scope for each in former_stages(default)] == [
        ("range_estimator",),
        ("layer",),
    ]
    assert former_stages(scoped) == search_stages(scoped)


def test_the_space_of_older_releases_is_known_by_the_name_that_they_stored(mobilenet):
    found = former_identity(Cell(mobilenet, DeviceSpec(device="CPU")), "data")
    assert found == {"dataset": "data", "search space": "700c7ddc460c7b78e43e769f"}


def test_eval_rebuilds_the_best(placement):
    found = start(placement, "eval", search(*STORED))
    assert found.rebuild
    assert found.base == STORED[1].option


@pytest.mark.parametrize("method", ["fine_tune", "eval"])
def test_best_is_what_the_run_called_best(placement, method):
    """Measured against the runner-up, the one of least loss may have lost."""
    assert start(placement, method, search(*STORED)).base == STORED[1].option
    assert start(placement, method, search(*STORED, best=2)).base == STORED[2].option


def test_eval_after_the_model_changed_is_refused(placement):
    with pytest.raises(CellError, match="model content"):
        start(placement, "eval", search(*STORED, **{"model content": "other"}))


@pytest.mark.parametrize("method", ["fine_tune", "eval"])
def test_search_whose_trials_all_failed_has_no_best(placement, method):
    failed = replace(trial(0, 0, 1), score=None, loss=None, measurement=None, failure="broken")
    if method == "eval":
        with pytest.raises(CellError, match="eval needs a stored search"):
            start(placement, method, search(failed))
    else:
        assert start(placement, method, search(failed)).base == PRESET


# --- stages


def with_tunable(mobilenet, tunable, **params):
    plain = mobilenet.model_dump(mode="json")
    plain["compression"]["algorithms"] = [{"name": "TunableQuantization", "params": tunable}]
    plain["optimizer"]["params"] = params
    return type(mobilenet).model_validate(plain)


def stages(mobilenet, tunable, **params):
    config = with_tunable(mobilenet, tunable, **params)
    scopes = [each.compression.tunable for each in search_stages(config)]
    return [
        (each.until, scope.tuning_scope, scope.estimator_tuning_scope)
        for each, scope in zip(search_stages(config), scopes, strict=True)
    ]


def test_who_names_no_scope_gets_layers_and_estimators_together(mobilenet):
    assert stages(mobilenet, {}, max_trials=50) == [(50, ("layer", "range_estimator"), ("preset",))]


def test_as_pot_estimators_come_first_and_then_layers(mobilenet):
    found = stages(mobilenet, {}, max_trials=50, compatibility="pot")
    assert found == [(20, ("range_estimator",), ("preset",)), (50, ("layer",), ())]


def test_who_names_a_scope_gets_one_stage_of_it(mobilenet):
    assert stages(mobilenet, {"tuning_scope": ["mode"]}, max_trials=50) == [(50, ("mode",), ())]


STAGES = [
    {"max_trials": 5, "tuning_scope": ["mode"]},
    {"max_trials": 7, "tuning_scope": ["range_estimator"], "estimator_tuning_scope": ["type"]},
]


def test_named_stages_come_one_after_the_other(mobilenet):
    found = stages(mobilenet, {"tuning_scope": ["layer"]}, stages=STAGES)
    assert found == [(5, ("mode",), ()), (12, ("range_estimator",), ("type",))]


def test_max_trials_bounds_all_stages_together(mobilenet):
    assert [until for until, *_ in stages(mobilenet, {}, stages=STAGES, max_trials=8)] == [5, 8]
    assert [until for until, *_ in stages(mobilenet, {}, stages=STAGES, max_trials=3)] == [3, 3]


def test_stages_that_max_trials_cuts_short_are_told(mobilenet):
    cut, whole = (with_tunable(mobilenet, {}, stages=STAGES, max_trials=most) for most in (8, 20))
    assert stages_note(cut) == "max_trials 8 ends the search before its stages, which ask for 12 trials together"
    assert not stages_note(whole)
    assert not stages_note(mobilenet)


def test_max_trials_of_the_command_line_bounds_the_default_stages(mobilenet, zoo):
    config = load_model_config(zoo / "embedded" / "digits-resnet.yml").with_optimizer({"max_trials": 1})
    assert search_stages(config)[-1].until == 1


def test_scorer_of_the_tests_tells_options_apart():
    scorer = Scorer()
    assert scorer.build(option(0))[0].candidate != scorer.build(option(1))[0].candidate


def of_another_release(each):
    """The trial's option as of a release that could quantize a normalization as well, and not the operation "3"."""
    operations = {name: choice for name, choice in each.option.operations.items() if name != GONE}
    return replace(each, option=replace(each.option, operations={**operations, "MVN_40": operations[KEPT]}))


KEPT, *_, GONE = PRESET.operations


def test_warm_start_of_a_release_that_quantizes_other_operations_is_refused(placement):
    with pytest.raises(CellError, match=f"no longer quantizable: MVN_40; newly quantizable: {GONE}"):
        start(placement, "warm_start", search(*map(of_another_release, STORED)))


@pytest.mark.parametrize("method", ["fine_tune", "eval"])
def test_best_of_a_release_that_quantizes_other_operations_is_taken_as_it_can_be(placement, method):
    found = start(placement, method, search(*map(of_another_release, STORED)))
    stored = STORED[1].option.operations  # the best within the target
    assert found.base.operations == {**stored, GONE: replace(stored[GONE], quantize=False)}
    assert "no longer quantizable: MVN_40" in found.reference.notes[-1]
