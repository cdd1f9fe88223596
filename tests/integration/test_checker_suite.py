"""Every kind of configuration against the accuracy checker's own evaluator with its own launcher."""

import numpy as np
import pytest
from test_accuracy import F32

from checker_cases import CASES
from evaluators import evaluate_metrics
from quantize_zoo.config import ModelConfig
from quantize_zoo.errors import CellError, ConfigurationError
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.scoring import AccuracySession, compile_for_accuracy, find_checker
from quantize_zoo.zoo import complete_model

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


TUNED = ("regression_of_a_dictionary", "regression_of_several_outputs", "values_of_each_class", "image_processing")


@pytest.mark.parametrize("name", TUNED)
def test_each_value_of_a_metric_can_be_tuned(name, tmp_path):
    """The checker prints it as METRIC@VALUE; deviations and largest errors are better when lower."""
    config = config_of(name, tmp_path)
    model = read_model(config.model)
    compiled = compile_for_accuracy(model, F32)
    named = {
        f"{metric}@{value}": number
        for metric, (values, numbers) in evaluate_metrics(config).items()
        for value, number in zip(values, numbers, strict=True)
        if value
    }
    assert len(named) > 3
    for tuned, expected in named.items():
        session = AccuracySession(find_checker(), complete_model(config.model_copy(update={"metric": tuned})), model)
        session.try_first(compiled)
        assert session.score(compiled).metrics[tuned] == expected
        answers = session.replicated(session.answers(compiled, tuned))
        assert answers.metrics[tuned] == expected
        assert answers.replicates is not None
        lower = tuned.startswith(("mae", "mse", "worst")) or tuned.endswith(("std", "max_error"))
        assert session.higher_is_better(tuned) == (not lower)


WITHOUT_A_FOLDER = {
    "super_resolution": ("additional_data_source", "whose shapes are (28,28,3) (14,14,3)"),
    "regression_of_files": ("additional_data_source", "whose shapes are (6,) (3,)"),
    "segmentation_by_a_postprocessor": ("segmentation_masks_source", "cannot read the annotation of sample '009.jpg'"),
}


@pytest.mark.parametrize("name", WITHOUT_A_FOLDER)
def test_without_the_folder_of_the_annotations_files_it_is_named(name, tmp_path):
    key, message = WITHOUT_A_FOLDER[name]
    config = config_of(name, tmp_path)
    del config.accuracy_checker["models"][0]["datasets"][0][key]
    model = read_model(config.model)
    session = AccuracySession(find_checker(), config, model)
    with pytest.raises(CellError) as caught:
        session.try_first(compile_for_accuracy(model, F32))
    assert message in caught.value.what
    assert key in caught.value.remedy


def test_of_one_metric_the_value_of_an_output_is_name_enough(tmp_path):
    config = config_of("regression_of_several_outputs", tmp_path)
    with pytest.raises(ConfigurationError, match="known: mae, mae@energy@mean, mae@energy@std"):
        complete_model(config.model_copy(update={"metric": "mel@mean"}))  # of which metric?
    config.accuracy_checker["models"][0]["datasets"][0]["metrics"] = [{"type": "mae"}]
    assert complete_model(config.model_copy(update={"metric": "mel@mean"})).metric == "mae@mel@mean"


def test_a_value_that_a_metric_does_not_have_is_told_on_the_first_sample(tmp_path):
    config = config_of("values_of_each_class", tmp_path)
    model = read_model(config.model)
    config = complete_model(config.model_copy(update={"metric": "accuracy_per_class@clas1"}))
    session = AccuracySession(find_checker(), config, model)
    with pytest.raises(CellError, match=r"(?s)gives no single number, but .*did you mean 'accuracy_per_class@class1'"):
        session.try_first(compile_for_accuracy(model, F32))


def test_a_perfect_picture_has_a_ratio_of_signal_to_noise_that_numpy_2_has_no_former_name_for():
    quality = find_checker().module("metrics.image_quality_assessment")
    metric = quality.PeakSignalToNoiseRatio({"type": "psnr", "name": "psnr"}, None, name="psnr")
    picture = np.full((16, 16, 3), 7.0)
    assert metric._psnr_differ(picture, picture) == np.inf
