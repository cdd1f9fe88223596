"""The live progress: whole names and figures, whatever the terminal's width."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from builders import trial
from quantize_zoo.cell import Cell
from quantize_zoo.config import DeviceSpec, ModelConfig
from quantize_zoo.progress import ConsoleProgress

CELL = Cell(
    ModelConfig(name="digits-mobilenet-v3-large", model="net.onnx", accuracy_checker={}),
    DeviceSpec(device="AUTO:CPU", device_config={"NUM_STREAMS": 2}),
)
PARTS = (CELL.key.label, "0/60", "-:--:--", "http://127.0.0.1:8787/status")


def live(width):
    """What the live part of a terminal of a width shows."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    with ConsoleProgress(console, PARTS[-1]) as progress:
        progress.cell_started(CELL, 0, 2, None)
        shown = Console(file=io.StringIO(), width=width, color_system=None)
        shown.print(progress._live.get_renderable())
        progress.cell_finished(CELL, None)
    return shown.file.getvalue()


def test_what_follows_the_trials_and_a_trial_beside_an_evaluated_one_are_told():
    shown = io.StringIO()
    changed = CELL.model.with_optimizer({"trials_load_method": "eval"})
    with ConsoleProgress(Console(file=shown, width=200)) as progress:
        progress.cell_started(replace(CELL, model=changed), 0, 1, None)
        for number in range(2):
            progress.trial_finished(replace(CELL, model=changed), trial(number, 0.0, 1.5), None)
        progress.step_started(CELL, "comparing with the baseline")
    _, first, second, step = shown.getvalue().splitlines()
    assert "trial 0 (1/1): " in first
    assert "trial 1: " in second, "the baseline's configuration"
    assert step.strip() == "comparing with the baseline"


@pytest.mark.parametrize("width", [160, 120, 80, 60])
def test_no_name_and_no_figure_is_cut_or_broken(width):
    lines = live(width).splitlines()
    assert [part for part in PARTS if not any(part in line for line in lines)] == []
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [20, 1])
def test_what_is_wider_than_the_terminal_is_broken_and_not_cut(width):
    assert "".join(live(width).split()) == "".join(PARTS)
    assert "…" not in live(width)


def test_a_wide_terminal_has_a_line_with_a_bar():
    (line,) = live(160).splitlines()
    assert len(line) > sum(map(len, PARTS)) + 40
