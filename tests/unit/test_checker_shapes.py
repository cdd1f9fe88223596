"""The checker's own files: what is a list, a mapping or a text in them is told before the checker stumbles."""

import pytest

from quantize_zoo.config import load_model_config
from quantize_zoo.errors import CellError, ConfigurationError
from quantize_zoo.scoring import find_checker, read_definitions, require_metric
from quantize_zoo.scoring.annotations import LabelledOnce
from quantize_zoo.scoring.checker_shapes import definitions_problem, entry_problem
from quantize_zoo.zoo import check_checker_file, complete_model

GOOD = {
    "name": "net",
    "launchers": [{"framework": "openvino", "adapter": {"type": "classification"}}],
    "datasets": [
        {
            "name": "digits",
            "reader": "opencv_imread",
            "annotation_conversion": {"converter": "imagenet", "annotation_file": "labels.txt"},
            "preprocessing": [{"type": "resize", "size": 8}],
            "metrics": [{"name": "accuracy@top1", "type": "accuracy"}],
        }
    ],
}


def spoiled(**changes):
    """The good entry with something else in its dataset, launcher or itself."""
    return {
        **GOOD,
        "datasets": [{**GOOD["datasets"][0], **{key: value for key, value in changes.items() if key in OF_DATASET}}],
        "launchers": [{**GOOD["launchers"][0], **{key: value for key, value in changes.items() if key in OF_LAUNCHER}}],
        **{key: value for key, value in changes.items() if key not in OF_DATASET | OF_LAUNCHER},
    }


OF_DATASET = {"reader", "annotation_conversion", "preprocessing", "postprocessing", "metrics"}
OF_LAUNCHER = {"adapter", "framework"}
BAD = [
    ({"metrics": "x"}, "datasets[0].metrics is a list, not 'x'"),
    ({"metrics": ["accuracy"]}, "datasets[0].metrics[0] is a mapping, not 'accuracy'"),
    ({"metrics": [{"type": ["accuracy"]}]}, "datasets[0].metrics[0].type is a text, not a list"),
    ({"preprocessing": {"type": "resize"}}, "datasets[0].preprocessing is a list, not a mapping"),
    ({"postprocessing": [None]}, "datasets[0].postprocessing[0] is a mapping, not nothing"),
    ({"annotation_conversion": "imagenet"}, "datasets[0].annotation_conversion is a mapping, not 'imagenet'"),
    ({"reader": 5}, "datasets[0].reader is a name or a mapping, not 5"),
    ({"adapter": [1]}, "launchers[0].adapter is a name or a mapping, not a list"),
    ({"adapter": {"type": 5}}, "launchers[0].adapter.type is a text, not 5"),
    ({"framework": 5}, "launchers[0].framework is a text, not 5"),
    ({"name": 5}, "name is a text, not 5"),
    ({"datasets": ["digits"]}, "datasets[0] is a mapping, not 'digits'"),
]


def test_good_shapes():
    assert entry_problem(GOOD, "models[0]") == ""
    assert definitions_problem({"datasets": GOOD["datasets"], "launchers": GOOD["launchers"], "metrics": None}) == ""


@pytest.mark.parametrize(("changes", "problem"), BAD)
def test_bad_shape_of_an_entry_is_told_with_its_place(changes, problem):
    assert entry_problem(spoiled(**changes), "models[0]") == f"models[0].{problem}"


@pytest.mark.parametrize("value", [5, [], None, {}, "x"])
@pytest.mark.parametrize("key", ["datasets", "launchers"])
def test_entry_without_a_list(key, value):
    assert entry_problem({**GOOD, key: value}, "models[0]") == f"models[0] needs a list {key!r} with one entry"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", ""),
        ("[a]", "definitions are a mapping of lists such as 'datasets' and 'launchers', not a list"),
        ("text", "definitions are a mapping of lists such as 'datasets' and 'launchers', not 'text'"),
        ("datasets: 5", "datasets is a list, not 5"),
        ("launchers: [x]", r"launchers\[0\] is a mapping, not 'x'"),
        ("metrics: [5]", r"metrics\[0\] is a mapping, not 5"),
        ("datasets: [{metrics: x}]", r"datasets\[0\].metrics is a list, not 'x'"),
    ],
)
def test_definitions_of_another_shape_are_refused(tmp_path, text, problem):
    path = tmp_path / "definitions.yml"
    path.write_text(text)
    if not problem:
        assert read_definitions(path) == {}
        return
    with pytest.raises(ConfigurationError, match=rf"definitions.yml: accuracy checker configuration: {problem}"):
        read_definitions(path)


@pytest.mark.parametrize("text", ["models: 5", "evaluations: 5", "models: [5]", "models: [{datasets: 5}]", "5", ""])
def test_check_of_a_file_of_another_shape_finds_no_model_that_can_be_scored(tmp_path, text):
    path = tmp_path / "accuracy-check.yml"
    path.write_text(text)
    assert all(finding.problem for finding in check_checker_file(path, {}))


def model(folder, metrics):
    (folder / "net.onnx").touch()
    (folder / "net.yml").write_text(
        "name: net\nmodel: net.onnx\naccuracy_checker: {models: [{name: net, launchers: [{framework: openvino}], "
        f"datasets: [{{name: d, metrics: {metrics}}}]}}]}}\n"
        "optimizer: {params: {metrics: [{name: accuracy@topp, baseline_value: 0.5}]}}\n"
    )
    return load_model_config(folder / "net.yml")


def test_a_baseline_value_of_no_metric_is_refused_with_the_nearest_name(tmp_path):
    config = model(tmp_path, "[{name: accuracy@top1, type: accuracy}]")
    with pytest.raises(ConfigurationError, match=r"(?s)net.yml:4: .*'accuracy@topp'.*did you mean 'accuracy@top1'"):
        require_metric(config.model_copy(update={"metric": "accuracy@top1"}))


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        ("[]", r"net.yml:3: dataset 'd' names no metric"),
        ("[{}]", r"net.yml:3: key 'type' is missing"),
        ("[{top_k: 1}]", r"net.yml:3: key 'type' is missing"),
    ],
)
def test_a_dataset_whose_metrics_have_no_name_is_refused(tmp_path, metrics, problem):
    with pytest.raises(ConfigurationError, match=problem):
        complete_model(model(tmp_path, metrics))


@pytest.mark.parametrize("second", ["a.png 1", "a.png 2"])
def test_two_labels_of_one_sample_contradict_each_other(tmp_path, second):
    (tmp_path / "labels.txt").write_text(f"a.png 1\nb.png 2\n{second}\n")
    dataset = {
        "name": "d",
        "data_source": str(tmp_path),
        "annotation_conversion": {"converter": "imagenet", "annotation_file": str(tmp_path / "labels.txt")},
        "metrics": [{"type": "accuracy"}],
    }
    evaluator = find_checker().module("evaluators.quantization_model_evaluator")
    provider = evaluator.AnnotationProvider
    with LabelledOnce(evaluator) as labelled_once:
        evaluator.create_dataset_attributes([dataset], "")
    assert evaluator.AnnotationProvider is provider
    if second.endswith("1"):
        labelled_once.require()
    else:
        with pytest.raises(CellError, match=r"'a.png' is annotated twice, with label 1 and with label 2"):
            labelled_once.require()
