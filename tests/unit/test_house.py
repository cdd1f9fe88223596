"""The house rules that a tool can check."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from quantize_zoo import errors
from quantize_zoo.errors import CellError, QuantizeZooError, nearest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [["lint-imports"], ["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=lambda command: command[0] + (command[1] if len(command) > 1 else ""),
)
def test_tool_is_content(command):
    result = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_error_says_where_what_and_remedy():
    error = errors.input_mismatch("image", "(1, 3, 8, 8)", "(1, 3, 9, 9)")
    assert str(error) == (
        "model and dataset: input 'image' of the model takes (1, 3, 8, 8), the preprocessed data are (1, 3, 9, 9)\n"
        "  -> correct the preprocessing (resize, color) or the layout in the accuracy checker's configuration; "
        "samples come one at a time, so set a larger batch to 1 with input_shapes"
    )


def test_error_crosses_a_process_boundary():
    error = errors.worker_died("SIGKILL", "evaluate")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (again.what, again.where, again.remedy) == (error.what, error.where, error.remedy)
    assert isinstance(again, CellError | QuantizeZooError)


def test_nearest_name_comes_first():
    assert nearest("acuracy", ["map", "accuracy"]) == "did you mean 'accuracy'? known: accuracy, map"
    assert nearest("zzz", ["map"]) == "known: map"
    assert nearest("zzz", []) == "known: none"
