"""Searches that go on: warm_start after a kill, fine_tune, eval, and stages, as a user starts them."""

import json
import os
import signal
import subprocess
import sys

import pytest

from quantize_zoo.config import hardware_path
from quantize_zoo.scoring import available_instruction_sets

COMMAND = [sys.executable, "-m", "quantize_zoo"]


def run(small, quantize_zoo, method, *arguments):
    files = ["--reports", small.reports, "--trials-load-method", method, "--json"]
    status, out, err = quantize_zoo("run", small.path, *files, *arguments)
    return status, json.loads(out)["cells"][0] if out else None, err


def kill_after(small, text, trials):
    arguments = ["run", small.path, "--reports", small.reports, "--max-trials", str(trials)]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    for line in process.stderr:
        if text in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.release
def test_warm_start_after_a_kill_goes_on_to_the_same_number_of_trials(small, quantize_zoo):
    kill_after(small, "(3/6)", 6)
    status, cell, err = run(small, quantize_zoo, "warm_start", "--max-trials", 6)
    assert status == 0, err
    assert [each["number"] for each in cell["trials"]] == list(range(6))
    assert cell["final"]["trial"] < 6
    # Nothing is left to do: the stored trials are the result.
    status, again, err = run(small, quantize_zoo, "warm_start", "--max-trials", 6)
    assert status == 0, err
    assert [each["option_hash"] for each in again["trials"]] == [each["option_hash"] for each in cell["trials"]]


def test_warm_start_with_another_scope_is_refused(small, quantize_zoo):
    assert run(small, quantize_zoo, "cold_start", "--max-trials", 1)[0] == 0

    def other_scope(model):
        params = model["compression"]["algorithms"][0]["params"]
        params["tuning_scope"] = ["layer"]
        del params["estimator_tuning_scope"]

    small.edit("net.yml", other_scope)
    status, _, err = run(small, quantize_zoo, "warm_start")
    assert status == 3
    assert "warm_start cannot go on with the stored search, which differs in: search space" in err


def test_eval_rebuilds_the_best_model_without_trials(small, quantize_zoo):
    _, searched, _ = run(small, quantize_zoo, "cold_start")
    best = searched["trials"][searched["best"]]
    status, cell, err = run(small, quantize_zoo, "eval")
    assert status == 0, err
    (only,) = cell["trials"]
    assert only["kind"] == "eval"
    assert only["option_hash"] == best["option_hash"]
    assert only["accuracy"] == best["accuracy"]
    assert (small.reports / "latest" / cell["final"]["model"]).is_file()


def test_eval_with_nothing_stored_is_an_error(small, quantize_zoo):
    status, cell, err = run(small, quantize_zoo, "eval")
    assert status == 3
    assert cell["verdict"]["status"] == "failed"
    assert "eval needs a stored search of this model on this device" in err


@pytest.mark.release
def test_warm_start_with_nothing_left_to_do_rebuilds_the_best_of_any_stage(small, quantize_zoo):
    """The best may need statistics that only an earlier stage asked for."""

    def without_scope(model):
        params = model["compression"]["algorithms"][0]["params"]
        del params["tuning_scope"], params["estimator_tuning_scope"]

    small.edit("net.yml", without_scope)
    _, first, err = run(small, quantize_zoo, "cold_start", "--max-trials", 5)
    status, cell, err = run(small, quantize_zoo, "warm_start", "--max-trials", 5)
    assert status == 0, err
    assert len(cell["trials"]) == len(first["trials"]) == 5
    assert cell["final"]["model"]


def test_stages_come_one_after_the_other_around_the_best(small, quantize_zoo):
    stages = [
        {"max_trials": 3, "tuning_scope": ["range_estimator"], "estimator_tuning_scope": ["preset"]},
        {"max_trials": 3, "tuning_scope": ["layer"]},
    ]

    def staged(model):
        model["optimizer"]["params"]["stages"] = stages
        del model["optimizer"]["params"]["max_trials"]

    small.edit("net.yml", staged)
    status, cell, err = run(small, quantize_zoo, "cold_start")
    assert status == 0, err
    trials = cell["trials"]
    assert [each["stage"] for each in trials] == [0, 0, 0, 1, 1, 1]
    assert [trials[index]["kind"] for index in (0, 3)] == ["base", "base"]
    assert trials[3]["reused_from"] is not None
    # Range estimators do not change the structure, so that latency was measured once for all of them.
    assert [each["latency_s"] > 0 for each in trials[:3]] == [True, False, False]


def test_best_is_judged_on_samples_that_the_search_never_saw(small, quantize_zoo):
    status, cell, err = run(small, quantize_zoo, "cold_start", "--max-trials", 2)
    assert status == 0, err
    reference, holdout = cell["reference"], cell["final"]["holdout"]
    assert (reference["samples"], reference["holdout_samples"]) == (70, 30)
    assert holdout["fp32"]["samples"] == holdout["int8"]["samples"] == 30
    assert holdout["accuracy_loss_share"]["low"] < holdout["accuracy_loss_share"]["high"]


def test_given_fp32_value_spares_the_evaluation(small, quantize_zoo):
    given = [{"name": "accuracy@top1", "baseline_value": 0.5}]
    small.edit("net.yml", lambda model: model["optimizer"]["params"].update(metrics=given, holdout=0))
    status, cell, err = run(small, quantize_zoo, "cold_start", "--max-trials", 1)
    assert status == 0, err
    assert cell["reference"]["accuracy"]["value"] == 0.5
    assert cell["reference"]["samples"] == 100
    assert cell["final"]["holdout"] is None
    assert cell["trials"][0]["score"]["accuracy_loss_share"] < 0


def test_subset_limits_what_trials_are_scored_on(small, quantize_zoo):
    small.edit("net.yml", lambda model: model["optimizer"]["params"].update(eval_subset_size=30))
    _, cell, _ = run(small, quantize_zoo, "cold_start", "--max-trials", 1)
    assert cell["trials"][0]["accuracy"]["samples"] == 30


@pytest.mark.parametrize("installed", [True, False])
def test_model_of_nncf_stands_beside_the_trials(small, quantize_zoo, monkeypatch, installed):
    small.edit("matrix.yml", lambda matrix: matrix.update(references=["nncf"]))
    if not installed:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        status, _, err = run(small, quantize_zoo, "cold_start")
        assert status == 2
        assert "pip install 'quantize-zoo[nncf]'" in err
        return
    status, cell, err = run(small, quantize_zoo, "cold_start", "--max-trials", 1)
    assert status == 0, err
    (point,) = cell["references"]
    assert point["name"] == "nncf"
    assert 0.8 < point["accuracy"]["value"] <= 1
    assert point["latency"]["speedup"]["low"] <= point["latency"]["speedup"]["value"]
    assert 0 < point["size_bytes"] < cell["final"]["fp32_figures"]["size_bytes"]
    assert "nncf (" in small.cell_page()


def with_weights(model):
    """Compressed weights in the scope, and a target of size."""
    model["compression"]["hardware"] = str(hardware_path("CPU-weights"))
    model["compression"]["algorithms"][0]["params"].update(tuning_scope=["bits", "layer"], estimator_tuning_scope=[])
    model["optimizer"]["params"].update(size_reduce=2.0)


@pytest.mark.skipif("AVX512_CORE" not in available_instruction_sets(), reason="kernels of compressed weights")
def test_compressed_weights_are_searched_beside_nncfs(small, quantize_zoo, monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    small.edit("matrix.yml", lambda matrix: matrix.update(references=["nncf-weights"]))
    small.edit("net.yml", with_weights)
    status, cell, err = run(small, quantize_zoo, "cold_start", "--max-trials", 3)
    assert status == 0, err
    sizes = {point["name"]: point["size_bytes"] for point in cell["references"]}
    assert sizes["nncf-weights INT4"] <= sizes["nncf-weights INT8"] < cell["final"]["fp32_figures"]["size_bytes"]
    made = {each["way"]["mode"]: each["read"] for each in cell["reference"]["executed"]["compressed"]}
    assert made == {"asymmetric": 1, "symmetric": 1, "nf4": 1}
    assert "size" in {target["name"] for target in cell["verdict"]["targets"]}
    assert len({trial["score"]["size_ratio"] for trial in cell["trials"] if trial["score"]}) > 1
    assert "NF4 perchannel" in small.cell_page()


@pytest.mark.skipif("AVX512_CORE" not in available_instruction_sets(), reason="only there are they refused when held")
def test_what_one_member_of_a_fleet_refuses_is_not_offered(small, quantize_zoo, monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    members = [
        {"device": "CPU", "inference_precision": "f32", "share": 0.5},
        {"device": "CPU", "isa": "AVX2", "share": 0.5},
    ]
    fleet = {"fleet": "servers", "members": members, "allow_slower": True}
    small.edit("matrix.yml", lambda matrix: matrix.update(references=["nncf-weights"], devices=[fleet]))
    small.edit("net.yml", with_weights)
    status, cell, err = run(small, quantize_zoo, "cold_start", "--max-trials", 2)
    assert status == 0, err
    assert cell["references"] == []
    assert [trial["failure"] for trial in cell["trials"]] == [None] * 2
    refused = {each["way"]["mode"]: each["refused"] for each in cell["reference"]["executed"]["compressed"]}
    assert refused["nf4"] == ""
    assert refused["symmetric"].startswith("CPU[AVX2]: held to AVX2")
    for told in ("nncf-weights is left out", " are not offered, since they do not run on CPU[AVX2]: "):
        assert sum(note.startswith(told) or told in note for note in cell["reference"]["notes"]) == 1
