"""One model that quantizes any of its operations: what it computes is what the candidates compute."""

import numpy as np
import openvino as ov
import pytest

from builders import compression, pipeline, residual_model
from quantize_zoo.graph.runtime import core
from quantize_zoo.quantization import without_quantization
from quantize_zoo.quantization.bias_correction import find_biases
from quantize_zoo.quantization.output_changes import affordable_samples, infer_here, output_changes, switchable

SAMPLES = [{"image": np.random.default_rng(seed).normal(size=(1, 3, 8, 8)).astype(np.float32)} for seed in range(6)]
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture(scope="module")
def made():
    pipe = pipeline(residual_model(), SAMPLES, compression())
    fp32 = pipe._model
    ends = {name: bias.addition for name, bias in find_biases(fp32, pipe.placement).items()}
    return pipe, fp32, switchable(fp32, pipe.build(pipe.base), pipe.placement, ends)


def outputs(model, sample):
    return next(iter(core().compile_model(model, "CPU", F32)(sample).values()))


def with_only(pipe, names):
    operations = {
        name: choice if name in names else without_quantization(choice) for name, choice in pipe.base.operations.items()
    }
    return pipe.build(type(pipe.base)(operations, pipe.base.steps))


def change(pipe, fp32, names):
    """The change by a candidate that quantizes these alone."""
    candidate = with_only(pipe, names)
    pairs = [[outputs(model, sample).astype(float) for model in (candidate, fp32)] for sample in SAMPLES]
    return [((one - other) ** 2).sum() / (other**2).sum() for one, other in pairs]


def test_every_operation_can_be_switched(made):
    pipe, _, switched = made
    assert set(switched.operations) == set(pipe.base.operations)
    assert isinstance(switched.model, ov.Model)


def test_nothing_switched_is_fp32_and_all_switched_is_int8(made):
    pipe, fp32, switched = made
    nothing, everything = output_changes(switched, [(), switched.operations], SAMPLES)
    assert nothing == pytest.approx(0.0, abs=1e-12)
    assert everything == pytest.approx(change(pipe, fp32, switched.operations), rel=0.05)
    assert (everything > 0).all()


@pytest.mark.parametrize("names", [("first",), ("branch",), ("scores",), ("first", "scores")])
def test_what_is_switched_computes_what_the_candidate_does(made, names):
    pipe, fp32, switched = made
    (found,) = output_changes(switched, [names], SAMPLES)
    assert found == pytest.approx(change(pipe, fp32, names), rel=0.1)  # "add" reads what "branch" does


def test_the_pipeline_tells_the_change_of_each_operation(made):
    pipe, fp32, switched = made
    found = pipe.output_changes(pipe.base, evaluated=100)
    assert found.keys() == set(switched.operations)
    changes = np.array(change(pipe, fp32, ("scores",)))
    assert found["scores"] == pytest.approx(np.mean(changes**0.25) ** 4, rel=0.05)


@pytest.mark.parametrize(
    ("operations", "evaluated", "expected"), [(20, 840, 32), (120, 840, 8), (500, 300, 1), (9, 0, 1)]
)
def test_all_operations_together_cost_at_most_three_evaluations(operations, evaluated, expected):
    assert affordable_samples(operations, evaluated, 3, 32) == expected
    assert expected == 1 or 2.5 * operations * expected <= 3 * evaluated


def test_outputs_are_held_of_no_more_samples_than_are_inferred_at_once():
    """Of 500 operations on 30 samples there would be 15,000, which of a mask are more than a machine has."""
    model = residual_model()
    taken = []

    class Counted(list):
        def __getitem__(self, index):
            taken.append(index)
            return super().__getitem__(index)

    many = Counted(SAMPLES * 50)
    found = infer_here(model, many)
    first = next(found)
    ahead = len(taken)
    assert ahead < len(many) / 2
    rest = list(found)
    assert sorted(taken) == list(range(len(many)))
    for sample, given in zip(many, [first, *rest], strict=True):
        np.testing.assert_allclose(given[0], outputs(model, sample), rtol=1e-5, atol=1e-6)
