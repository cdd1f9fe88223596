"""Every kind of configuration against the accuracy checker's own evaluator with its own launcher."""

import numpy as np
import pytest
from test_accuracy import F32

from checker_cases import CASES
from evaluators import evaluate_metrics
from quantize_zoo.config import ModelConfig
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.scoring import AccuracySession, compile_for_accuracy, find_checker

EMBEDDED = [
    "digits-mobilenet", "faces-landmarks", "lines-crnn", "opinions-encoder", "reviews-transformer", "scenes-ssd",
    "shapes-unet", "shapes-upscaler",
]  # fmt: skip


def config_of(name, folder):
    """Write a case into a folder; return its YAML as it is loaded."""
    made = CASES[name](folder)
    save_model(made.model, folder / "net.xml")
    launcher = {"framework": "openvino", "adapter": made.adapter, **made.launcher}
    entry = {"name": name, "launchers": [launcher], "datasets": [{"name": name, **made.dataset}]}
    return ModelConfig(
        name=name,
        model=folder / "net.xml",
        accuracy_checker={"models": [entry]},
        source=folder / "net.yml",
        data_folder=folder,
    )


def one_number(names, values):
    """What is tuned: of named values the mean, or the mean of the means of several outputs; else the mean."""
    means = [value for name, value in zip(names, values, strict=True) if name.split("@")[-1] == "mean"]
    return np.mean(means or values)


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_the_checkers_own_evaluator(name, tmp_path):
    config = config_of(name, tmp_path)
    theirs = evaluate_metrics(config)
    model = read_model(config.model)
    session = AccuracySession(find_checker(), config, model)
    compiled = compile_for_accuracy(model, F32)
    ours = session.score(compiled).metrics
    expected = {metric: one_number(names, values) for metric, (names, values) in theirs.items()}
    assert ours == pytest.approx(expected, rel=1e-12, abs=1e-12)
    # The next pass is another one, and what baselines are held against is the same computation.
    assert session.score(compiled).metrics == ours
    assert session.answers(compiled, next(iter(ours))).metrics == ours
