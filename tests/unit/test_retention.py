"""What is kept of the history: the newest nights, runs of baselines, and all that what is kept needs."""

import os
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from builders import estimate, final, option, reference, trial
from kill_store import start_cell, start_run
from quantize_zoo.cell.statistics import StatisticsCache, short_hash
from quantize_zoo.config import load_matrix
from quantize_zoo.errors import CellError, ConfigurationError
from quantize_zoo.matrix import prune
from quantize_zoo.matrix.baselines import content_hash
from quantize_zoo.quantization import ActivationStatistics, requests_text, write_statistics
from quantize_zoo.search import Survey
from quantize_zoo.store import Store
from stores import execute
from unit.test_gate_and_report import good
from unit.test_offers import store_run

SURVEY = Survey((), estimate(1.5), 2.0, "base")


def runs(url):
    return sorted(row[0] for row in execute(url, "SELECT id FROM runs"))


def pruned(store, newest, kept=()):
    """Delete old runs; return their ids."""
    old = store.old_runs(newest, set(kept)).runs
    store.delete_runs(old)
    return old


def searched(store, run_id, number=0, method="cold_start", model="net"):
    """Store a night of one cell, which makes one trial; return the cell's id."""
    start_run(store, run_id)
    cell_id = start_cell(store, run_id, method, model)
    store.add_trial(cell_id, trial(number, 0.0, 1.5, option(number)))
    store.set_final(cell_id, None)
    store.finish_run(run_id, "finished")
    return cell_id


def nights(url, count):
    """A store of so many runs of one cell, each with a trial of its own."""
    store = Store(url)
    return store, [searched(store, f"night{number}", number) for number in range(count)]


def test_the_newest_runs_stay_with_their_cells_and_trials(url):
    store, _ = nights(url, 4)
    before = store.load_run("night3")
    assert pruned(store, 2) == ("night1", "night0")
    assert runs(url) == ["night2", "night3"]
    assert store.load_run("night3") == before
    counts = [execute(url, f"SELECT count(*) FROM {name}")[0][0] for name in ("cells", "trials", "contents")]
    assert counts == [2, 2, 3], "the facts that both have, and the base of each"


def test_what_is_kept_or_not_over_stays_whatever_its_age(url):
    store, _ = nights(url, 3)
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("UPDATE runs SET status = 'running' WHERE id = 'night0'"))
    assert pruned(store, 1, {"night1"}) == ()
    assert runs(url) == ["night0", "night1", "night2"]


def test_a_search_stays_that_was_only_evaluated_since(url):
    store = Store(url)
    search = searched(store, "search")
    for number in range(3):
        searched(store, f"night{number}", method="eval")
    assert pruned(store, 1) == ("night1", "night0")
    assert [each.cell_id for each in store.searches("net", "CPU")] == [search]
    assert len(store.trials(search)) == 1


def test_what_was_interrupted_at_once_takes_no_nights_place(url):
    store, _ = nights(url, 3)
    for number in range(4):
        start_run(store, f"stopped{number}")
        start_cell(store, f"stopped{number}")
        store.finish_run(f"stopped{number}", "interrupted")
    assert pruned(store, 2) == ("night0",)
    searched(store, "late")
    assert pruned(store, 1) == ("stopped3", "stopped2", "stopped1", "stopped0", "night2", "night1")


def test_runs_of_one_model_leave_the_last_ones_of_the_others(url):
    store = Store(url)
    for number in range(2):
        searched(store, f"other{number}", model="other")
    for number in range(3):
        searched(store, f"night{number}")
    assert pruned(store, 1) == ("night1", "night0", "other0")
    assert [each.model for each in store.load_run("other1").cells] == ["other"]


def test_trials_that_a_search_goes_on_with_are_counted_with_those_before(url):
    store, cells = nights(url, 3)
    for cell, before in zip(cells[1:], cells, strict=False):
        store.set_continues(cell, before)
    searched(store, "other", model="other")
    searched(store, "evaluated", method="eval")
    start_run(store, "stopped")
    stopped = start_cell(store, "stopped", "warm_start")
    store.set_continues(stopped, cells[2])
    assert [store.stored_trials(name, "CPU") for name in ("net", "other", "new")] == [3, 1, 0]


def test_a_cell_keeps_the_trials_of_those_that_it_goes_on_from(url):
    """Also where they were stored against another option than its own."""
    store, cells = nights(url, 4)
    for cell, before in zip(cells[1:], cells, strict=False):
        store.set_continues(cell, before)
    expected = store.trials(cells[3])
    assert [each.number for each in expected] == [0, 1, 2, 3]
    pruned(store, 2)
    assert store.trials(cells[3]) == expected
    assert store.trials(cells[2]) == expected[:3]
    assert [each.cell_id for each in store.searches("net", "CPU")] == [cells[3]]


def test_a_cell_keeps_the_survey_of_the_one_that_it_goes_on_from(url):
    store, cells = nights(url, 3)
    store.set_reference(cells[0], reference(survey=SURVEY))
    for cell, before in zip(cells[1:], cells, strict=False):
        store.set_continues(cell, before)
    pruned(store, 1)
    assert store.survey(cells[2]) == SURVEY


def test_two_cells_that_go_on_from_the_same_one_both_keep_its_trials(url):
    store, cells = nights(url, 3)
    for cell in cells[1:]:
        store.set_continues(cell, cells[0])
    expected = [store.trials(cell) for cell in cells[1:]]
    pruned(store, 2)
    assert [store.trials(cell) for cell in cells[1:]] == expected


def test_a_cell_without_trials_of_its_own_keeps_those_it_goes_on_from(url):
    store, cells = nights(url, 1)
    start_run(store, "late")
    late = start_cell(store, "late")
    store.set_continues(late, cells[0])
    store.set_final(late, None)
    pruned(store, 1)
    assert runs(url) == ["late"]
    assert [each.option for each in store.trials(late)] == [option(0)]


def test_pruning_a_damaged_store_is_refused_and_deletes_nothing(url):
    store, cells = nights(url, 3)
    store.set_continues(cells[2], cells[1])
    execute(url, f"UPDATE cells SET continues = {cells[2]} WHERE id = {cells[1]}")
    with pytest.raises(CellError, match=r"cannot write to the store .*goes on from cell"):
        pruned(store, 1)
    assert runs(url) == ["night0", "night1", "night2"]


@pytest.fixture
def reports(tmp_path):
    """A run whose cell is the baseline, and three later ones with folders."""
    reports = store_run(tmp_path, good(), require_targets=False)
    store = Store(f"sqlite:///{reports / 'store.db'}")
    for number in range(3):
        start_run(store, f"later{number}")
        cell = start_cell(store, f"later{number}")
        store.set_reference(cell, reference())
        store.add_trial(cell, trial(0, 0.0, 1.5))
        store.set_final(cell, final(0, 1.5))
        store.finish_run(f"later{number}", "finished")
        (reports / f"later{number}").mkdir()
        (reports / f"later{number}" / "index.html").write_text("page")
    store.close()
    return reports


def test_the_command_removes_runs_and_folders_and_keeps_those_of_baselines(quantize_zoo, reports):
    assert quantize_zoo("baseline", "accept", "run", "--reports", reports)[0] == 0
    status, out, err = quantize_zoo("prune", "--keep-nights", "1", "--keep-baselines", "--reports", reports)
    assert (status, out) == (0, "pruned: 2 runs, 0 files of former baselines\n"), err
    assert sorted(path.name for path in reports.iterdir() if path.is_dir()) == ["baselines", "later2", "run"]
    assert quantize_zoo("report", "run", "--reports", reports)[0] in (0, 130)


def test_files_of_a_baseline_stay_until_no_cell_has_it(quantize_zoo, reports):
    assert quantize_zoo("baseline", "accept", "run", "--reports", reports)[0] == 0
    files = sorted((reports / "baselines").iterdir())
    assert quantize_zoo("prune", "--keep-nights", "1", "--reports", reports)[0] == 0
    assert sorted((reports / "baselines").iterdir()) == files
    assert runs(f"sqlite:///{reports / 'store.db'}") == ["later2"]
    assert quantize_zoo("baseline", "drop", "net-CPU", "--reports", reports)[0] == 0
    _, out, _ = quantize_zoo("prune", "--keep-nights", "1", "--reports", reports)
    assert out == f"pruned: 0 runs, {len(files)} files of former baselines\n"
    assert list((reports / "baselines").iterdir()) == []
    assert "net-CPU" in quantize_zoo("baseline", "show", "--history", "--reports", reports)[1]


def test_nothing_that_is_not_ours_is_removed(quantize_zoo, reports, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    (reports / "later0" / "index.html").unlink()
    (reports / "later0").rmdir()
    (reports / "later0").symlink_to(mine)
    (reports / "baselines").mkdir()
    (reports / "baselines" / "README").write_text("mine")
    assert quantize_zoo("prune", "--keep-nights", "1", "--reports", reports)[0] == 0
    assert (mine / "notes.txt").exists()
    assert (reports / "baselines" / "README").exists()


@pytest.fixture
def used(reports):
    """Models, statistics and comparisons of runs: those of two old ones only, those of the newest, and others."""
    store = Store(f"sqlite:///{reports / 'store.db'}")
    models = {}
    for run_id, name in (("later0", "a" * 24), ("later1", "b" * 24), ("later2", "b" * 24), ("later1", "mine")):
        models[name] = reports / "models" / name / "net.xml"
        models[name].parent.mkdir(parents=True, exist_ok=True)
        models[name].write_text("model")
        cell = start_cell(store, run_id)
        store.set_reference(cell, reference(model_path=str(models[name])))
    folder = reports / "statistics"
    folder.mkdir()
    for name, seconds in (("c" * 24, 0), ("mine", 0), ("d" * 24, 2_000_000_000)):
        (folder / f"{name}.npz").write_text("statistics")
        os.utime(folder / f"{name}.npz", (seconds, seconds))
    for name in ("compare-later0-later2", "compare-later2-later1", "compare-later2-later2", "compare", "bisect-later0"):
        (reports / name).mkdir()
    store.close()
    return reports


def test_what_only_old_runs_used_goes_with_them(quantize_zoo, used):
    status, out, err = quantize_zoo("prune", "--keep-nights", "1", "--reports", used)
    assert (status, out) == (
        0, "pruned: 3 runs, 0 files of former baselines, 4 models, statistics or comparisons\n",
    ), err  # fmt: skip
    assert sorted(path.name for path in (used / "models").iterdir()) == ["b" * 24, "mine"]
    assert sorted(path.stem for path in (used / "statistics").iterdir()) == ["d" * 24, "mine"]
    folders = sorted(path.name for path in used.iterdir() if path.is_dir())
    assert folders == ["bisect-later0", "compare", "compare-later2-later2", "later2", "models", "statistics"]


def test_reports_that_were_moved_are_accepted_and_pruned_where_they_are(quantize_zoo, reports, tmp_path):
    model = reports / "models" / ("a" * 24) / "net.xml"
    model.parent.mkdir(parents=True)
    shutil.copyfile(reports / "run" / "models" / "net.xml", model)
    store = Store(f"sqlite:///{reports / 'store.db'}")
    (cell,) = store.load_run("run").cells
    store.set_reference(cell.id, reference(model_path=str(model), model_hash=content_hash(model)))
    store.close()
    moved = reports.rename(tmp_path / "moved")
    assert quantize_zoo("baseline", "accept", "run", "--reports", moved)[0] == 0
    _, out, _ = quantize_zoo("prune", "--keep-nights", "1", "--reports", moved)
    assert out == "pruned: 3 runs, 0 files of former baselines, 1 model, statistics or comparisons\n"
    assert not (moved / "models" / ("a" * 24)).exists()


def test_models_stay_while_a_run_is_under_way(quantize_zoo, used):
    store = Store(f"sqlite:///{used / 'store.db'}")
    start_run(store, "now")
    assert prune(store, used, 1, keep_baselines=False).runs
    assert sorted(path.name for path in (used / "models").iterdir()) == ["a" * 24, "b" * 24, "mine"]


def test_statistics_that_are_used_again_count_as_new(tmp_path):
    requests = []
    cache = StatisticsCache(tmp_path, lambda _: [], lambda size, variant: [variant])
    path = tmp_path / f"{short_hash(['', requests_text(requests)])}.npz"
    write_statistics(path, ActivationStatistics({}, {}), requests)
    os.utime(path, (0, 0))
    cache.collect(None, requests, None, "")
    assert path.stat().st_mtime > 0


def test_what_could_not_be_removed_goes_the_next_time(quantize_zoo, reports, monkeypatch):
    def fails(path):
        raise PermissionError(1, "Operation not permitted", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("quantize_zoo.matrix.retention.shutil.rmtree", fails)
        status, _, err = quantize_zoo("prune", "--keep-nights", "1", "--reports", reports)
    assert status == 2
    assert "cannot remove what is old" in err
    assert "prune again" in err
    assert (reports / "later0").is_dir()
    assert quantize_zoo("prune", "--keep-nights", "1", "--reports", reports)[1].startswith("pruned: 3 runs")
    assert not (reports / "later0").exists()


def test_the_link_to_the_newest_report_never_leads_to_what_is_gone(quantize_zoo, reports):
    (reports / "latest").unlink(missing_ok=True)
    (reports / "latest").symlink_to("later1")  # the report of the newest run could not be written
    assert quantize_zoo("prune", "--keep-nights", "1", "--reports", reports)[0] == 0
    assert not (reports / "latest").is_symlink()


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_a_number_of_nights_that_is_none_is_refused(quantize_zoo, reports, number):
    assert quantize_zoo("prune", "--keep-nights", number, "--reports", reports)[0] == 2
    assert (reports / "later0").is_dir()


def test_vacuum_gives_the_disk_back_what_was_deleted(sqlite):
    store, _ = nights(sqlite, 1)
    big = trial(1, 0.0, 1.5, failure="".join(chr(33 + (7 * each * each + each) % 94) for each in range(2_000_000)))
    start_run(store, "old")
    cell = start_cell(store, "old")
    store.add_trial(cell, big)
    store.finish_run("old", "finished")
    searched(store, "new")
    path = Path(sqlite.removeprefix("sqlite:///"))
    before = path.stat().st_size
    assert pruned(store, 1) == ("old", "night0")
    store.vacuum()
    assert path.stat().st_size < before


def test_a_matrix_says_what_it_keeps(zoo, tmp_path):
    model = zoo / "embedded" / "digits-resnet.yml"
    text = f"models: [{model}]\ndevices: [{{device: CPU}}]\nretention: {{keep_nights: %s}}\n"
    path = tmp_path / "matrix.yml"
    path.write_text(text % 90)
    found = load_matrix(path).retention
    assert (found.keep_nights, found.keep_baselines) == (90, True)
    path.write_text(text % 0)
    with pytest.raises(ConfigurationError, match=r"retention.keep_nights"):
        load_matrix(path)
