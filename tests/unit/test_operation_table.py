"""Names of operations stand once in ``results.json``, and everything that is said of an operation leads to its name."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

from builders import cell_record, final, option, reference, trial
from growing_stores import final_of, operation_names, search_trial
from quantize_zoo.report import make_run_report, render_json
from quantize_zoo.scoring import Executed, ExecutedOperation, LayerTime
from unit.test_gate_and_report import run_record

ROOT = Path(__file__).parents[2]


def cell_of(record):
    (cell,) = json.loads(render_json(make_run_report(run_record(record))))["cells"]
    return cell


def a_cell(**changes):
    settings = {
        "reference": reference(
            operation_types={"op0": "Convolution", "op1": "MatMul", "op2": "Add", "op3": "Add"},
            executed=Executed((ExecutedOperation("op1", "i8", "gemm"), ExecutedOperation("op0", "", "")), ()),
        ),
        "sensitivity": {"op1": 0.25, "op0": 1 / 3},
    }
    layers = (LayerTime("relu", 12.3456789, None, "jit"), LayerTime("op0", None, 0.0, "", "brgconv"))
    finished = replace(final(1, 1.5), layers=layers)
    trials = [trial(0, 0.0, 1.0, option(0)), trial(1, 0.0, 1.5, option(1))]
    return cell_of(cell_record(trials, finished, **{**settings, **changes}))


def test_table_has_types_and_sensitivity_by_name():
    table = a_cell()["operations"]
    types = [None if each is None else table["types"][each] for each in table["type"]]
    assert dict(zip(table["name"], types, strict=True)) == {
        "op0": "Convolution", "op1": "MatMul", "op2": "Add", "op3": "Add", "relu": None,
    }  # fmt: skip
    assert dict(zip(table["name"], table["sensitivity"], strict=True)) == {
        "op0": 0.333333, "op1": 0.25, "op2": None, "op3": None, "relu": None,
    }  # fmt: skip


def test_layers_and_executed_operations_lead_to_the_table():
    cell = a_cell()
    names, kernels = cell["operations"]["name"], cell["operations"]["kernels"]
    layers, executed = cell["final"]["layers"], cell["reference"]["executed"]
    assert [names[each] for each in layers["operation"]] == ["relu", "op0"]
    assert layers["reference_us"] == [12.3457, None]
    assert layers["candidate_us"] == [None, 0.0]
    assert [kernels[each] for each in layers["reference_kernel"]] == ["jit", ""]
    assert [kernels[each] for each in layers["candidate_kernel"]] == ["", "brgconv"]
    assert [names[each] for each in executed["operation"]] == ["op1", "op0"]
    assert executed["precision"] == ["i8", ""]
    assert [kernels[each] for each in executed["kernel"]] == ["gemm", ""]


def test_a_cell_that_failed_has_an_empty_table():
    cell = cell_of(cell_record([], None, reference=None, status="failed"))
    assert cell["operations"] == {"name": [], "type": [], "sensitivity": [], "types": [], "kernels": []}
    assert cell["reference"] is None


def test_a_cell_of_500_operations_and_60_trials_takes_100_kilobytes_and_each_name_once():
    rng = random.Random(0)
    names = operation_names(500)
    trials = [search_trial(number, 500, rng) for number in range(60)]
    record = cell_record(
        trials, final_of(trials[-1], 500, rng), sensitivity={name: rng.random() for name in names},
        reference=reference(operation_types=dict.fromkeys(names, "Convolution")),
    )  # fmt: skip
    text = render_json(make_run_report(run_record(record)))
    assert len(text) < 100_000
    assert max(text.count(f'"{name}"') for name in names) == 1


def test_the_reader_of_the_documentation_reads_the_example(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "results.md").read_text("utf-8"), re.DOTALL)
    exec(program, {})
    told = capsys.readouterr().out
    assert "Convolution" in told
