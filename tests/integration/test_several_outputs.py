"""A classifier with a second output: which of them is scored, and what has other outputs."""

import numpy as np
import openvino as ov
import pytest

from quantize_zoo.graph import read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops


@pytest.fixture
def second_first(small):
    """A file of the small matrix's model with another output before that of the classes; the YAML names it."""
    net = read_model(small.folder / "net.onnx")
    (classes,) = net.get_results()
    feature = ops.reduce_mean(classes.input_value(0), np.array([1]), True)
    feature.output(0).get_tensor().set_names({"feature"})
    path = small.folder / "two.xml"
    save_model(ov.Model([ops.result(feature), classes], net.get_parameters(), "net"), path)
    small.edit("net.yml", lambda content: content.update(model="two.xml"))
    return path


def classify(small, **parameters):
    def change(content):
        content["models"][0]["launchers"][0]["adapter"] = {"type": "classification", **parameters}

    small.edit("accuracy-check.yml", change)


def test_a_label_that_the_first_output_does_not_have_names_outputs_and_the_key(small, second_first, quantize_zoo):
    status, _, err = quantize_zoo("check", small.path)
    assert status == 2
    assert "has label 9, and the model has 1 classes" in err
    assert "reads 'feature' of the model's outputs feature, probabilities" in err
    assert "whatever classification_output names: write the model with another one first" in err


def test_an_output_that_the_model_does_not_have(small, second_first, quantize_zoo):
    classify(small, classification_output="probability")
    status, _, err = quantize_zoo("check", small.path)
    assert status == 2
    assert "asks for the output 'probability', which the model does not have" in err
    assert "did you mean 'probabilities'?" in err


def test_where_nobody_chose_the_output_it_is_told(small, second_first, quantize_zoo):
    net = read_model(second_first)
    feature, classes = net.get_results()
    save_model(ov.Model([classes, feature], net.get_parameters(), "net"), small.folder / "turned.xml")
    small.edit("net.yml", lambda content: content.update(model="turned.xml"))
    status, _, err = quantize_zoo("check", small.path)
    assert status == 0
    assert "reads 'probabilities', the first of the outputs probabilities, feature; it reads the first one" in err


@pytest.mark.parametrize("turned", [False, True])
def test_files_with_other_outputs_are_not_compared(small, second_first, quantize_zoo, turned):
    small.edit("net.yml", lambda content: content.update(model="net.onnx"))
    pair = [small.folder / "net.onnx", second_first][:: -1 if turned else 1]
    status, out, err = quantize_zoo("compare", *pair, "--model", small.folder / "net.yml")
    assert (status, out) == (2, "")
    assert "the models have other outputs" in err
    assert f"{second_first} has [?,1], [?,10]" in err
    assert "label" not in err


def test_files_that_both_have_other_outputs_than_the_yamls_model_are_not_compared(small, second_first, quantize_zoo):
    small.edit("net.yml", lambda content: content.update(model="net.onnx"))
    status, out, err = quantize_zoo("compare", second_first, second_first, "--model", small.folder / "net.yml")
    assert (status, out) == (2, "")
    assert f"{small.folder / 'net.onnx'} has [?,10]" in err


def test_a_file_that_is_no_model_is_not_compared(small, quantize_zoo):
    (small.folder / "none.xml").write_text("<net/>")
    pair = small.folder / "net.onnx", small.folder / "none.xml"
    status, out, err = quantize_zoo("compare", *pair, "--model", small.folder / "net.yml")
    assert (status, out) == (2, "")
    assert "none.xml" in err


@pytest.mark.parametrize(("key", "classes", "status"), [("probabilities", 10, 0), ("feature", 1, 2)])
def test_an_adapter_that_obeys_reads_the_output_that_it_is_told_to(
    small, second_first, quantize_zoo, key, classes, status
):
    """Other than that of classification."""
    adapter = {"type": "bert_classification", "classification_out": key, "num_classes": classes}
    small.edit("accuracy-check.yml", lambda content: content["models"][0]["launchers"][0].update(adapter=adapter))
    found, _, err = quantize_zoo("check", small.path)
    assert found == status, err
    told = f"reads {key!r} of the model's outputs feature, probabilities; classification_out names another"
    assert (told in err) == (status == 2)
