"""The main job, end to end, on a small real matrix."""

import json
import os
import signal
import subprocess
import sys
from xml.etree import ElementTree as ET

import openvino as ov
import psutil
import pytest
import yaml

from processes import cell_processes
from quantize_zoo.config import DeviceSpec, load_model_config
from quantize_zoo.graph import read_model
from quantize_zoo.scoring import AccuracySession, compile_for_accuracy, find_checker, split_samples
from quantize_zoo.store import Store

F32 = DeviceSpec(device="CPU", inference_precision="f32")
COMMAND = [sys.executable, "-m", "quantize_zoo"]


@pytest.fixture(scope="module")
def finished(shared_small):
    """One run of the small matrix with a GPU cell beside it, as a user starts it."""
    shared_small.edit("matrix.yml", lambda matrix: matrix["devices"].append("GPU"))
    arguments = ["run", shared_small.path, "--reports", shared_small.reports, "--json", "--seed", "7"]
    result = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return shared_small, json.loads(result.stdout), result.stderr


def test_cells_are_scored_or_unavailable_with_openvinos_devices(finished):
    _, document, _ = finished
    cells = {cell["name"]: cell for cell in document["cells"]}
    assert cells["net-CPU[f32]"]["verdict"]["status"] in ("met", "keep-fp32", "undecided")
    assert len(cells["net-CPU[f32]"]["trials"]) == 4
    assert cells["net-GPU"]["verdict"] == {
        "status": "unavailable",
        "reason": f"OpenVINO has no device GPU here; its devices: {', '.join(ov.Core().available_devices)}",
        "cause": "",
        "alarms": [],
        "targets": [],
        "warnings": [],
    }


def test_every_figure_has_its_interval_and_environment(finished):
    cell = finished[1]["cells"][0]
    assert cell["reference"]["execution"]["inference_precision"] == "f32"
    assert cell["reference"]["environment"]["isa_limit"] == "AVX2"
    for trial in cell["trials"]:
        for figure in ("accuracy", "latency_us", "speedup"):
            assert trial[figure]["low"] <= trial[figure]["value"] <= trial[figure]["high"]


def test_progress_is_plain_lines_without_a_terminal(finished):
    # Coverage measures the processes too, and warns on the same stream.
    lines = [line for line in finished[2].splitlines() if "CoverageWarning" not in line]
    assert lines[0] == "[1/2] net-CPU[f32]"
    assert "accuracy@top1" in lines[1]
    told = [line.split(":")[0].strip() for line in lines[2:6]]
    assert told == ["trial 0 (1/4)", "trial 1 (2/4)", "trial 2 (3/4)", "trial 3 (4/4)"]
    assert lines[-1].startswith("report: ")


def test_files_of_a_run_are_those_of_the_design(finished):
    small, document, _ = finished
    folder = small.reports / document["run"]["id"]
    assert (small.reports / "latest").resolve() == folder.resolve()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    best = {f"models/net-CPU[f32].{kind}" for kind in ("xml", "bin", "yml", "npz")}
    pages = {"index.html", "cells/net-CPU[f32].html"}
    assert pages | {"benchmark.json", "results.json", "junit.xml", "summary.md"} | best <= names
    assert ET.parse(folder / "junit.xml").getroot().tag == "testsuites"
    assert json.loads((folder / "results.json").read_text()) == document


def test_exported_model_has_the_accuracy_of_its_trial(finished):
    small, document, _ = finished
    cell = document["cells"][0]
    config = load_model_config(small.folder / "net.yml")
    exported = read_model(small.reports / "latest" / cell["final"]["model"])
    assert exported.inputs[0].get_partial_shape()[0].is_dynamic
    model = exported
    session = AccuracySession(find_checker(), config, model)
    tuning = split_samples(session.identifiers(), session.labels(), config.optimizer.params.holdout).tuning
    scored = session.score(compile_for_accuracy(model, F32), tuning)
    assert scored.metrics["accuracy@top1"] == cell["trials"][cell["best"]]["accuracy"]["value"]
    configuration = yaml.safe_load((small.reports / "latest" / "models" / "net-CPU[f32].yml").read_text())
    assert configuration["option_hash"] == cell["trials"][cell["best"]]["option_hash"]


def test_layers_are_told_with_the_kernels_of_both_sides(finished):
    cell = finished[1]["cells"][0]
    kernels = cell["operations"]["kernels"]
    layers = cell["final"]["layers"]
    columns = [layers[name] for name in ("reference_us", "candidate_us", "reference_kernel", "candidate_kernel")]
    both = [layer for layer in zip(*columns, strict=True) if layer[0] and layer[1]]
    assert len(both) > 5
    assert any("f32" in kernels[fp32].lower() and "i8" in kernels[int8].lower() for *_, fp32, int8 in both)


def test_every_operation_has_its_sensitivity(finished):
    operations = finished[1]["cells"][0]["operations"]
    found = list(zip(operations["name"], operations["type"], operations["sensitivity"], strict=True))
    looked_at = [each for each in found if each[2] is not None]
    assert len(looked_at) > 5
    assert all(kind is not None and value >= 0 for _, kind, value in looked_at)


def test_trials_are_listed(finished, quantize_zoo):
    small, document, _ = finished
    status, out, _ = quantize_zoo("trials", "--reports", small.reports, "--json")
    assert status == 0
    assert json.loads(out)["net-CPU[f32]"] == document["cells"][0]["trials"]
    status, out, _ = quantize_zoo("trials", "--cells", "net-CPU[f32]", "--reports", small.reports)
    assert status == 0
    assert out.count("net-CPU[f32]") == 4
    assert "best" in out


def test_any_trial_is_exported(finished, quantize_zoo, tmp_path):
    """The best is the run's own file, another one is built again: the same model as that trial's."""
    small, document, _ = finished
    cell = document["cells"][0]
    common = ("export", "net-CPU[f32]", "--reports", small.reports, "--output-dir", tmp_path)
    assert quantize_zoo(*common)[0] == 0
    best = tmp_path / f"net-CPU[f32]-{cell['best']}.xml"
    assert best.read_bytes() == (small.reports / "latest" / cell["final"]["model"]).read_bytes()
    number = next(trial["number"] for trial in cell["trials"] if trial["number"] != cell["best"])
    status, _, err = quantize_zoo(*common, "--trial", number)
    assert status == 0, err
    rebuilt = tmp_path / f"net-CPU[f32]-{number}.xml"
    configuration = yaml.safe_load(rebuilt.with_suffix(".yml").read_text())
    assert configuration["option_hash"] == cell["trials"][number]["option_hash"]
    config = load_model_config(small.folder / "net.yml")
    model = read_model(rebuilt)
    session = AccuracySession(find_checker(), config, model)
    tuning = split_samples(session.identifiers(), session.labels(), config.optimizer.params.holdout).tuning
    scored = session.score(compile_for_accuracy(model, F32), tuning)
    assert scored.metrics["accuracy@top1"] == cell["trials"][number]["accuracy"]["value"]


def test_a_trial_that_cannot_be_built_again_is_refused_with_what_changed(small, quantize_zoo, tmp_path):
    """Other calibration images make other ranges, and so a model that nobody scored."""
    assert quantize_zoo("run", small.path, "--reports", small.reports)[0] == 0
    (cell,) = stored(small).cells
    number = next(trial.number for trial in cell.trials if trial.number != cell.final.trial)
    images = sorted((small.folder / "images").iterdir())
    for image in images[1:]:
        image.write_bytes(images[0].read_bytes())
    exported = tmp_path / "exported"
    arguments = ("net-CPU[f32]", "--trial", number, "--reports", small.reports, "--output-dir", exported)
    status, _, err = quantize_zoo("export", *arguments)
    assert status == 3
    assert "the model that comes out is another one" in err
    assert "dataset (stored: 100 samples" in err
    assert not list(exported.rglob("*.xml"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nut-CPU",), "there is no cell 'nut-CPU'"),
        (("net-CPU[f32]", "--trial", "99"), "has no trial 99"),
        (("net-GPU",), "net-GPU has no best model"),
    ],
)
def test_export_of_what_is_not_there_is_told(finished, quantize_zoo, arguments, message):
    status, _, err = quantize_zoo("export", *arguments, "--reports", finished[0].reports)
    assert status == 2
    assert message in err
    assert "Traceback" not in err


def test_report_renders_the_stored_run_again(finished, quantize_zoo):
    small, document, _ = finished
    page = small.reports / document["run"]["id"] / "index.html"
    page.unlink()
    status, out, _ = quantize_zoo("report", document["run"]["id"], "--reports", small.reports, "--json")
    assert status == 0
    assert json.loads(out) == document
    assert page.is_file()


def test_fine_tune_starts_from_the_best_stored(finished, quantize_zoo):
    small, document, _ = finished
    best = document["cells"][0]["trials"][document["cells"][0]["best"]]
    store = f"sqlite:///{small.reports / 'store.db'}"
    small.edit("matrix.yml", lambda matrix: matrix["devices"].remove("GPU"))
    changes = ["--trials-load-method", "fine_tune", "--max-trials", 1]
    files = ["--reports", small.reports, "--store", store]
    status, out, err = quantize_zoo("run", small.path, *changes, *files, "--json")
    assert status == 0, err
    (trial,) = json.loads(out)["cells"][0]["trials"]
    assert trial["option_hash"] == best["option_hash"]
    assert trial["accuracy"] == best["accuracy"]


def test_table_is_printed_for_people(small, quantize_zoo):
    status, out, err = quantize_zoo("run", small.path, "--max-trials", 1, "--reports", small.reports)
    assert status == 0, err
    assert "net-CPU[f32]" in out
    assert "FP32 / INT8" in out


def start(small, trials=500):
    arguments = ["run", small.path, "--reports", small.reports, "--max-trials", trials]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    seen = []
    for line in process.stderr:
        seen.append(line)
        if f"(3/{trials})" in line:
            return process
    pytest.fail(f"the run ended early: {''.join(seen)}")


def stored(small):
    return Store(f"sqlite:///{small.reports / 'store.db'}").load_run()


def test_interrupt_keeps_and_reports_what_was_finished(small, quantize_zoo):
    process = start(small)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in output
    run = stored(small)
    assert run.status == "interrupted"
    assert run.cells[0].status == "interrupted"
    assert len(run.cells[0].trials) >= 3
    assert "interrupted" in (small.reports / "latest" / "index.html").read_text()
    status, _, err = quantize_zoo("report", "--reports", small.reports)
    assert (status, "interrupted by" in err) == (130, False), "nobody interrupted this command"


def test_death_of_a_cells_process_ends_that_cell_only(small):
    def two_cells(matrix):
        matrix["devices"].append({"device": "GPU"})

    small.edit("matrix.yml", two_cells)
    process = start(small)
    (worker,) = cell_processes(process.pid)
    worker.kill()
    output = process.communicate(timeout=60)[1]
    assert process.returncode == 3
    assert "the cell's process died in evaluate: SIGKILL" in output
    failed, unavailable = stored(small).cells
    assert (failed.status, unavailable.status) == ("failed", "unavailable")
    assert len(failed.trials) >= 3


def test_a_cell_runs_where_the_path_of_temporary_files_is_too_long_for_a_socket(small):
    folder = small.folder / ("long" * 30)
    folder.mkdir()
    command = [*COMMAND, "run", small.path, "--reports", small.reports, "--max-trials", "1"]
    done = subprocess.run(
        command, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(stored(small).cells[0].trials) == 1


def test_kill_of_the_run_keeps_finished_trials(small):
    process = start(small)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert len(stored(small).cells[0].trials) >= 3


def test_worker_ends_when_the_run_is_gone(small):
    process = start(small)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) >= 3  # the cell's, the server that it is forked from, and multiprocessing's own helper
    process.kill()
    process.communicate(timeout=60)
    assert not psutil.wait_procs(below, timeout=60)[1], "a process outlived its run"
