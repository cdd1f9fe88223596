"""The night: what each step leaves in the store when the next one fails, is interrupted, or is the last.

The work of the cells is played here, since no real device fails at a chosen moment; store and steps are real.
"""

import contextlib
import threading
from dataclasses import replace

import pytest

from builders import Alone, Scorer, latency, option, pipeline, reference
from quantize_zoo import errors
from quantize_zoo.cell import Calibration, Finished, Prepared
from quantize_zoo.config import DeviceSpec, load_matrix
from quantize_zoo.config.model import StageParams
from quantize_zoo.matrix import planning
from quantize_zoo.matrix.baselines import baseline_content, models_folder
from quantize_zoo.matrix.night import STEPS, run_in
from quantize_zoo.progress import Silent
from quantize_zoo.quantization import option_hash
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import OperationSurvey, Survey
from quantize_zoo.store import Elsewhere, Store
from zoo import residual_model

WORKS = ("prepare", "references", "calibrate", "submit", "compare", "finish", "hold", "elsewhere")
LATE = ("hold", "elsewhere")  # their failure takes nothing of the cell away


class PlayedWork:
    """Implements ``CellWork``; does what it is told to at the call of that name.

    ``accuracy`` and ``speedup`` are those of so many quantized operations, ``ratio`` what a comparison of two options
    gives, ``held`` the newest request to hold a cell, ``seconds`` what other environments may take, by model.
    """

    accuracy = staticmethod(lambda count: 1.0)
    ratio = Estimate(1.0, 0.9, 1.1, "x", 5)
    speedup = staticmethod(lambda count: 1.0 + count / 10)
    surveyed = None  # what a survey finds, if it finds anything
    held = None
    seconds = {}  # noqa: RUF012  # of all of them

    def __init__(self, cell, happens):
        self._cell, self._happens = cell, happens
        self._scorer = Scorer(accuracy=self.accuracy, ratio=self.speedup)

    def _do(self, name):
        happens = self._happens.get((self._cell.model.name, name))
        if happens is not None:
            happens()

    def prepare(self):
        self._do("prepare")
        placement = pipeline(residual_model(), []).placement
        names = [operation.name for operation in placement.operations]
        base = option(*range(len(names)), total=len(names))
        base = replace(base, operations=dict(zip(names, base.operations.values(), strict=True)))
        types = {operation.name: operation.type for operation in placement.operations}
        return Prepared(reference(operation_types=types), placement, base)

    def references(self):
        self._do("references")
        return ()

    def calibrate(self, base):
        self._do("calibrate")
        return Calibration(0.1, {})

    def survey(self, base):
        self._do("survey")
        return None if self.surveyed is None else replace(self.surveyed(base), base=option_hash(base))

    @property
    def pool(self):
        work, alone = self, Alone(self._scorer)

        class Pool:
            capacity, busy = alone.capacity, alone.busy

            def submit(self, *arguments, **named):
                work._do("submit")
                return alone.submit(*arguments, **named)

        return Pool()

    def compare(self, first, second):
        self._do("compare")
        return self.ratio

    def finish(self, chosen, accuracy, path):
        self._do("finish")
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
        return Finished(latency(1.5), None)

    def elsewhere(self, path, seconds):
        PlayedWork.seconds[self._cell.model.name] = seconds
        self._do("elsewhere")
        return (Elsewhere("CPU[AVX2]", "f32", Estimate(1.0, None, None, "", 9), skipped=""),)

    def hold(self, request):
        PlayedWork.held = request
        self._do("hold")
        raise AssertionError("a test says what happens")


PREPARE = PlayedWork.prepare


class PlayedEngine:
    """Implements ``Engine`` with played work."""

    dashboard = ""

    def __init__(self, happens, at_once=1):
        self._happens, self._at_once = happens, at_once
        self.was_cut_short = threading.Event()

    def cpus(self, matrix):
        return ("",)

    def cells_at_once(self):
        return self._at_once

    @contextlib.contextmanager
    def open(self, cell, log):
        yield PlayedWork(cell, self._happens)

    def usage(self, work):
        return ()

    def cut_short(self):
        self.was_cut_short.set()


@pytest.fixture(scope="module")
def canonical(tmp_path_factory):
    """A folder of canonical models for all nights: making one takes a process, which is not what is tested here."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def night(tmp_path, zoo, canonical):
    """Run two cells, of which something happens to the first, and return what the store has."""
    models_folder(tmp_path).symlink_to(canonical)
    matrix = load_matrix(zoo / "embedded.yml").select(["digits-resnet", "digits-mobilenet"], ["CPU"])
    matrix = matrix.model_copy(update={"devices": (DeviceSpec(device="CPU"),)}).with_optimizer({"max_trials": 4})
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")

    def run(happens, at_once=1, beside=None, limit=None, **changes):
        named = {("digits-resnet", name): what for name, what in happens.items()}
        engine = PlayedEngine(named, at_once)
        tonight = run.matrix.with_optimizer(changes).model_copy(update={"max_minutes_a_night": limit})
        return run_in(tmp_path, tonight, engine, store, Silent(), "quantize-zoo run", 0, beside or {})

    run.store, run.folder, run.matrix = store, tmp_path, matrix
    return run


def accept(night, run):
    for cell in run.cells:
        content = replace(baseline_content(cell, cell.reference, cell.final), fp32="", int8="", answers="")
        night.store.add_baseline(content)


def accept_with(night, run, count):
    """Accept the first cell with the first so many of its operations quantized, and no others."""
    cell = run.cells[0]
    content = replace(baseline_content(cell, cell.reference, cell.final), fp32="", int8="", answers="")
    choices = list(content.option.operations.items())
    chosen = {name: replace(choice, quantize=number < count) for number, (name, choice) in enumerate(choices)}
    night.store.add_baseline(replace(content, option=replace(content.option, operations=chosen)))


def fail(error):
    def happens():
        raise error

    return happens


def test_a_settled_cell_is_evaluated_and_one_that_is_another_by_now_searches(night, monkeypatch):
    monkeypatch.setattr(planning, "SETTLED_NIGHTS", 2)
    first, second = night({}, limit=60), night({}, limit=60)
    assert [cell.method for run in (first, second) for cell in run.cells] == ["cold_start"] * 4
    third = night({}, limit=60)
    assert [(cell.method, len(cell.trials)) for cell in third.cells] == [("eval", 1)] * 2
    assert third.cells[0].trials[0].option_hash == second.cells[0].trials[second.cells[0].final.trial].option_hash

    def another(self):
        found = PREPARE(self)
        return replace(found, reference=replace(found.reference, identity={"model content": "another"}))

    monkeypatch.setattr(PlayedWork, "prepare", another)
    assert [(cell.method, len(cell.trials)) for cell in night({}, limit=60).cells] == [("cold_start", 4)] * 2


def test_without_a_limit_a_settled_cell_searches(night, monkeypatch):
    monkeypatch.setattr(planning, "SETTLED_NIGHTS", 1)
    assert [[len(cell.trials) for cell in night({}).cells] for _ in range(2)] == [[4, 4]] * 2


def test_a_night_whose_time_is_over_begins_no_search_of_what_it_knows(night):
    night({}, limit=60)
    cells = night({}, limit=1e-9).cells
    assert [(cell.method, len(cell.trials)) for cell in cells] == [("eval", 1)] * 2


@pytest.fixture
def unpaid(monkeypatch):
    """Searches that find out that no operation pays."""
    alike = Estimate(-0.1, -0.2, 0.0, "us", 6)

    def found(base):
        operations = (OperationSurvey(name, (), 10.0, 10.1, alike, 0.0, 0.0, 1e-4) for name in base.operations)
        return Survey(tuple(operations), Estimate(1.0, 0.99, 1.01, "x", 6), 1.0)

    monkeypatch.setattr(PlayedWork, "surveyed", staticmethod(found))
    monkeypatch.setattr(PlayedWork, "speedup", staticmethod(lambda count: 1.0 - count / 1000))


def test_a_night_after_keep_fp32_goes_on_with_what_was_found_out(night, unpaid):
    """It surveys nothing and tries nothing, and says why again."""
    warm = {"trials_load_method": "warm_start", "max_trials": 20}
    first = night({}, **warm).cells[0]
    assert 5 <= len(first.trials) <= 8
    again = night({"survey": fail(AssertionError("it is known")), "submit": fail(AssertionError("likewise"))}, **warm)
    cell = again.cells[0]
    assert (cell.status, len(cell.trials)) == ("done", len(first.trials))
    assert cell.reference.survey == first.reference.survey
    assert [note for note in cell.reference.notes if note.endswith("keep FP32")] == [
        note for note in first.reference.notes if note.endswith("keep FP32")
    ]
    past = night.store.past_nights(5)["digits-resnet", "CPU"]
    assert [(each.trials, each.ended) for each in past] == [(0, True), (len(first.trials), True)]


def test_a_search_that_goes_on_with_more_trials_surveys_nothing_anew(night, monkeypatch, unpaid):
    monkeypatch.setattr(PlayedWork, "speedup", staticmethod(lambda count: 1.0 + count / 10))
    warm = {"trials_load_method": "warm_start"}
    night({}, **warm, max_trials=3)
    night({}, **warm, max_trials=3)  # has its trials
    cell = night({"survey": fail(AssertionError("it is known"))}, **warm, max_trials=6).cells[0]
    assert (cell.status, len(cell.trials)) == ("done", 6)
    assert [(each.trials, each.ended) for each in night.store.past_nights(1)["digits-resnet", "CPU"]] == [(3, False)]


@pytest.mark.parametrize("changes", [{"compatibility": "pot"}, {"trials_load_method": "eval"}])
def test_pots_search_and_a_rebuilt_best_are_not_surveyed(night, changes):
    night({})
    assert night({"survey": fail(AssertionError("nobody asked"))}, **changes).cells[0].status == "done"


@pytest.mark.parametrize(
    ("changes", "made", "why"),
    [
        ({"max_minutes": 1e-9}, 1, "its time is over, 1e-09 minutes for calibration, surveys and trials"),
        ({"stop_on_target": True, "latency_reduce": 1.2, "accuracy_loss": 2.0}, 1, "the targets are met"),
        ({"max_trials": 1}, 1, None),
    ],
)
def test_a_search_that_ends_before_its_trials_says_why(night, changes, made, why):
    cell = night({}, **{"max_trials": 20, **changes}).cells[0]
    told = [] if why is None else [f"the search: after {made} of at most 20 trials {why}"]
    assert (len(cell.trials), list(cell.reference.notes)) == (made, told)


def test_around_a_best_that_quantizes_nothing_there_is_nothing_to_survey(night, monkeypatch, unpaid):
    """A night that fine-tunes after one that was not surveyed, and found FP32 to be the fastest."""
    monkeypatch.setattr(PlayedWork, "surveyed", None)
    first = night({}, max_trials=60).cells[0]
    assert first.trials[first.final.trial].option.is_fp32
    unasked = {"survey": fail(AssertionError("nothing is quantized"))}
    cell = night(unasked, trials_load_method="fine_tune", max_trials=20).cells[0]
    assert (cell.status, cell.reference.survey) == ("done", None)
    assert list(cell.reference.notes) == ["stage 1 of the search: after 1 of at most 20 trials nothing is left to try"]


def test_another_base_is_surveyed_anew(night, unpaid):
    warm = {"trials_load_method": "warm_start", "max_trials": 20}
    cell = night({}, **warm).cells[0]
    other = replace(cell.reference, survey=replace(cell.reference.survey, base="another"))
    night.store.set_reference(cell.id, other)
    asked = []
    night({"survey": lambda: asked.append("survey")}, **warm)
    assert asked == ["survey"]


def test_trials_of_stages_that_are_no_more_are_gone_on_with(night):
    """As of releases up to 0.1.0, which had two where there is one."""
    estimators = StageParams(max_trials=2, tuning_scope=("range_estimator",), estimator_tuning_scope=("preset",))
    stages = (estimators, StageParams(max_trials=2, tuning_scope=("layer",)))
    first = night({}, stages=stages).cells[0]
    assert {each.stage for each in first.trials} == {0, 1}
    cell = night({}, trials_load_method="warm_start", max_trials=6).cells[0]
    assert [each.option_hash for each in cell.trials[:4]] == [each.option_hash for each in first.trials]
    assert len(cell.trials) == 6
    assert all(each.kind != "base" for each in cell.trials[4:])


def test_the_steps_are_those_of_the_docstring():
    assert [step.__name__ for step in STEPS] == [
        "prepare", "start", "references", "search", "confirm", "finish", "hold", "elsewhere",
    ]  # fmt: skip


def test_a_cell_goes_through_all_steps(night):
    run = night({})
    assert run.status == "finished"
    assert [cell.status for cell in run.cells] == ["done", "done"]
    assert [len(cell.trials) for cell in run.cells] == [4, 4]
    assert all(cell.final.latency.ratio.value == 1.5 for cell in run.cells)
    first = run.cells[0]
    assert [each.environment for each in first.final.portability] == ["CPU[AVX2]"]
    measured = sorted(each.seconds.total for each in first.trials if each.measurement and each.reused_from is None)
    assert 10 * measured[0] <= PlayedWork.seconds["digits-resnet"] <= 10 * measured[-1], "ten trials"


def test_what_follows_the_trials_is_told(night, monkeypatch):
    told = []
    monkeypatch.setattr(Silent, "step_started", lambda _self, _cell, step: told.append(step), raising=False)
    monkeypatch.setattr(PlayedWork, "ratio", Estimate(1.2, 1.1, 1.3, "x", 5))
    cell = night({}).cells[0]
    second = cell.final.runner_up
    beside = "" if second is None else f", in turns 1.20x as fast as trial {second.trial}"
    assert told[:2] == [
        f"measuring and exporting the best, trial {cell.final.trial}{beside}",
        "scoring it in other environments",
    ]


def test_what_fails_in_other_environments_takes_nothing_of_the_cell_away(night):
    run = night({"elsewhere": fail(errors.inference_failed("compiling", "no kernel"))}, max_trials=1)
    cell = run.cells[0]
    assert (cell.status, cell.error) == ("done", None)
    assert cell.final.latency.ratio.value == 1.5
    assert "no kernel" in cell.final.portability[0].skipped


def test_no_other_environment_is_played_where_the_matrix_says_so(night):
    night.matrix = night.matrix.model_copy(update={"portability": False})
    cell = night({"elsewhere": fail(AssertionError("it is not asked for"))}, max_trials=1).cells[0]
    assert cell.final.portability == ()


@pytest.mark.parametrize("name", [name for name in WORKS if name not in ("references", *LATE)])
def test_an_error_ends_its_cell_and_the_others_go_on(night, name):
    run = night({name: fail(errors.inference_failed("compiling", "no kernel"))})
    assert [cell.status for cell in run.cells] == (["failed", "done"])
    assert "no kernel" in run.cells[0].error.what
    assert run.status == "finished"


@pytest.mark.parametrize("name", [name for name in WORKS if name not in ("references", *LATE)])
def test_an_exception_that_is_not_ours_ends_its_cell_with_the_traceback_in_its_log(night, name):
    run = night({name: fail(ZeroDivisionError("of a library"))})
    assert [cell.status for cell in run.cells] == ["failed", "done"]
    assert run.status == "finished"
    log = night.folder / run.id / "logs" / "digits-resnet-CPU.log"
    assert "ZeroDivisionError: of a library" in run.cells[0].error.what
    assert str(log) in run.cells[0].error.remedy
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize(("name", "trials"), [("prepare", 0), ("calibrate", 0), ("compare", 4), ("finish", 4)])
def test_an_interrupt_ends_the_run_and_keeps_what_was_finished(night, name, trials):
    run = night({name: fail(KeyboardInterrupt())})
    assert run.status == "interrupted"
    assert [cell.status for cell in run.cells] == ["interrupted"], "the other one was not reached"
    assert len(run.cells[0].trials) == trials
    assert (run.cells[0].reference is not None) == (name != "prepare")


@pytest.mark.parametrize("what", [KeyboardInterrupt(), errors.store_write_failed("x", "disk full"), ValueError("x")])
def test_what_is_finished_stays_finished_when_the_comparison_is_cut_short(night, what):
    accept(night, night({}))
    run = night({"hold": fail(what)})
    assert run.cells[0].status == "done"
    assert run.cells[0].final is not None
    assert run.cells[0].final.latency.ratio.value == 1.5
    assert run.status == ("interrupted" if isinstance(what, KeyboardInterrupt) else "finished")


@pytest.mark.parametrize(
    ("ratio", "wins"), [((1.0, 0.9, 1.1), False), ((0.9, 0.8, 0.95), False), ((1.2, 1.1, 1.3), True)]
)
def test_the_baselines_configuration_stays_the_best_unless_another_is_measurably_faster(
    night, monkeypatch, ratio, wins
):
    """Fully quantized is faster by the trials; the comparison in turns decides."""
    accept_with(night, night({}), 4)
    monkeypatch.setattr(PlayedWork, "ratio", Estimate(*ratio, "x", 5))
    cell = night({}).cells[0]
    assert [trial.kind for trial in cell.trials][:2] == ["base", "baseline"]
    assert len(cell.trials) == 4, "it is one of them"
    best = cell.trials[cell.final.trial]
    assert (best.kind != "baseline") == wins
    assert cell.final.runner_up.ratio.value == pytest.approx(ratio[0] if wins else 1 / ratio[0])
    assert PlayedWork.held.why == ""


@pytest.mark.parametrize(("ratio", "wins"), [(1.3, True), (1.01, False)])
def test_in_turns_too_what_seems_much_slower_is_not_best_for_its_accuracy(night, monkeypatch, ratio, wins):
    """The interval tells neither from the other; all quantized is fastest, and loses most."""
    monkeypatch.setattr(PlayedWork, "ratio", Estimate(ratio, 0.8, 2.1, "x", 5))
    monkeypatch.setattr(PlayedWork, "accuracy", staticmethod(lambda count: 1.0 - 0.0001 * count))
    cell = night({}).cells[0]
    most = max(cell.trials, key=lambda trial: trial.score.latency_ratio)
    assert (cell.final.trial == most.number) == wins


def test_a_faster_model_that_loses_more_than_the_gate_allows_is_not_better(night, monkeypatch):
    accept_with(night, night({}), 4)
    monkeypatch.setattr(PlayedWork, "ratio", Estimate(1.2, 1.1, 1.3, "x", 5))
    monkeypatch.setattr(PlayedWork, "accuracy", staticmethod(lambda count: 1.0 if count <= 4 else 0.994))
    cell = night({}, accuracy_loss=1).cells[0]
    best = cell.trials[cell.final.trial].option
    assert sum(choice.quantize for choice in best.operations.values()) < 5, "all 5 are faster, and lose 0.6 %"


def test_a_baseline_that_misses_its_target_is_given_up_and_the_gate_is_told_why(night, monkeypatch):
    accept_with(night, night({}), 4)
    monkeypatch.setattr(PlayedWork, "accuracy", staticmethod(lambda count: 0.9 if count == 4 else 1.0))
    cell = night({}).cells[0]
    assert cell.trials[cell.final.trial].kind != "baseline"
    assert PlayedWork.held.why == (
        "the baseline's configuration does not meet its targets: it loses 10.00 %, 0.25 % of FP32 are allowed"
    )


def test_the_baselines_configuration_is_tried_also_where_one_trial_is_asked_for(night):
    accept_with(night, night({}), 4)
    assert [trial.kind for trial in night({}, max_trials=1).cells[0].trials] == ["base", "baseline"]


def test_eval_rebuilds_the_stored_best_and_the_baseline(night):
    accept_with(night, night({}), 4)
    assert [trial.kind for trial in night({}, trials_load_method="eval").cells[0].trials] == ["eval", "baseline"]


def test_a_baseline_of_other_operations_is_not_tried(night):
    run = night({})
    accept(night, run)
    stored = night.store.baselines()[0].content
    night.store.add_baseline(replace(stored, option=option(0, 1)))
    cell = night({}).cells[0 if stored.model == "digits-resnet" else 1]
    assert "baseline" not in [trial.kind for trial in cell.trials]


def test_an_interrupted_comparison_is_marked_as_one(night):
    accept(night, night({}))
    run = night({"hold": fail(KeyboardInterrupt())})
    assert run.cells[0].gate["interrupted"] is True


def test_runs_of_one_night_share_its_level(night):
    """A cell that another run has counts if it has a baseline, and once only."""
    accept(night, night({}))
    night({})
    alone = PlayedWork.held.terms.level
    others = {name: replace(night.store.baselines()[0].content, model=name) for name in ("a", "b")}
    for content in others.values():
        night.store.add_baseline(content)
    night({}, beside=dict.fromkeys(("a-CPU", "b-CPU", "digits-resnet-CPU", "new-CPU"), 1))
    assert PlayedWork.held.terms.level == pytest.approx(alone / 2), "two cells more"


def test_an_interrupt_before_the_first_cell_leaves_an_interrupted_run(night, monkeypatch):
    monkeypatch.setattr("quantize_zoo.matrix.night.run_cell", lambda *_: fail(KeyboardInterrupt())())
    run = night({})
    assert (run.status, run.cells) == ("interrupted", ())


def test_cells_at_once_are_cut_short_by_an_interrupt(night):
    run = night({"finish": fail(KeyboardInterrupt())}, at_once=2)
    assert run.status == "interrupted"
    statuses = {cell.model: (cell.status, len(cell.trials)) for cell in run.cells}
    assert statuses["digits-resnet"] == ("interrupted", 4)
    assert statuses.get("digits-mobilenet", ("interrupted", 0))[0] in ("interrupted", "done")
